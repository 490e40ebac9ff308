//! Checks that only compile: machines without `std`, other operating systems, and the oldest compiler
//! promised.

use anyhow::Result;

use crate::command::Cmd;
use crate::host::Host;
use crate::report::Report;
use crate::toolchain;

/// Kernels and boards, and one target of each further architecture. Where the library has no operation it
/// must compile and refuse.
const BARE: [&str; 13] = [
    "x86_64-unknown-none",
    "aarch64-unknown-none",
    "riscv64gc-unknown-none-elf",
    "riscv32imac-unknown-none-elf",
    "loongarch64-unknown-none",
    "armv7a-none-eabi",
    "thumbv7em-none-eabi",
    "wasm32-unknown-unknown",
    "i686-unknown-linux-gnu",
    "powerpc64le-unknown-linux-gnu",
    "s390x-unknown-linux-gnu",
    "sparc64-unknown-linux-gnu",
    "mips-unknown-linux-gnu",
];

/// Operating systems that nothing is run on here.
const SYSTEMS: [&str; 6] = [
    "x86_64-pc-windows-gnu",
    "aarch64-pc-windows-msvc",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-unknown-freebsd",
    "x86_64-unknown-netbsd",
];

pub(crate) fn no_std(host: &Host, report: &mut Report) -> Result<()> {
    BARE.into_iter().try_for_each(|triple| {
        let compiler = match toolchain::with_core(host, triple) {
            Ok(compiler) => compiler,
            Err(reason) => return report.skip(triple, format!("{reason:#}")),
        };
        ["", "privileged", "journal,recorder,preserve", "preserve-read"].into_iter().try_for_each(
            |feature| {
                let name = format!("{triple} {feature}");
                let proves = format!("the bare library builds without std ({})", compiler.name);
                report.check(name.trim_end(), &proves, || {
                    let line = "build -p cachemaint --no-default-features";
                    let cmd = compiler.cargo(line).args(["--target", triple]);
                    if feature.is_empty() { cmd } else { cmd.args(["--features", feature]) }.check()
                })
            },
        )
    })
}

/// Without a linker for them: the lints see what only they compile.
pub(crate) fn systems(host: &Host, report: &mut Report) -> Result<()> {
    if let Err(reason) = toolchain::component(host, "clippy", "cargo-clippy") {
        return report.skip("lints", format!("{reason:#}"));
    }
    SYSTEMS.into_iter().try_for_each(|triple| {
        let compiler = match toolchain::in_use(host, triple) {
            Ok(compiler) => compiler,
            Err(reason) => {
                return report.skip(triple, format!("no standard library for it: {reason:#}"));
            }
        };
        let clippy = |line: &str| {
            compiler.cargo(line).args(["--target", triple, "--", "-D", "warnings"]).check()
        };
        report.check(
            triple,
            "the library and its tests compile there with every feature",
            || clippy("clippy -p cachemaint --all-features --all-targets"),
        )?;
        report.check(&format!("{triple} command"), "the command compiles there", || {
            clippy("clippy -p cachemaint-cli")
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
