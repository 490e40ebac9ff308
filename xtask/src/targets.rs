//! Checks that only compile: systems without `std`, and the oldest compiler promised.

use anyhow::Result;

use crate::command::Cmd;
use crate::host::Host;
use crate::report::Report;
use crate::toolchain;

/// The last has no operation of its own: there the library must compile and refuse.
const FREESTANDING: [&str; 3] =
    ["x86_64-unknown-none", "aarch64-unknown-none", "thumbv7em-none-eabi"];

pub(crate) fn no_std(host: &Host, report: &mut Report) -> Result<()> {
    FREESTANDING.into_iter().try_for_each(|triple| {
        let compiler = match toolchain::with_core(host, triple) {
            Ok(compiler) => compiler,
            Err(reason) => return report.skip(triple, format!("{reason:#}")),
        };
        ["", "privileged"].into_iter().try_for_each(|feature| {
            let name = format!("{triple} {feature}");
            let proves = format!("the bare library builds without std ({})", compiler.name);
            report.check(name.trim_end(), &proves, || {
                let line = "build -p cachemaint --no-default-features";
                let cmd = compiler.cargo(line).args(["--target", triple]);
                if feature.is_empty() { cmd } else { cmd.args(["--features", feature]) }.check()
            })
        })
    })
}

pub(crate) fn msrv(host: &Host, report: &mut Report) -> Result<()> {
    let select = match toolchain::msrv(host) {
        Ok(select) => select,
        Err(reason) => {
            return report.skip(
                "library",
                format!("the release named as rust-version is not to be had: {reason:#}"),
            );
        }
    };
    report.check("library", "the library compiles with the release named as rust-version", || {
        Cmd::new("cargo").arg(&select).words("check -p cachemaint --all-features").check()
    })
}
