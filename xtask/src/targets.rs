//! Checks that only compile: machines without `std`, other operating systems, and the oldest supported compiler.

use anyhow::{Result, ensure};

use crate::command::{Check as _, Cmd};
use crate::host::Host;
use crate::packages::{self, PUBLISHED, Package, features, has_media, published};
use crate::report::{Finding, Report, Tests};
use crate::toolchain::{self, Compiler};

/// Kernels and boards, one of them without media.
const BOARDS: [&str; 4] = [
    "x86_64-unknown-none",
    "aarch64-unknown-none",
    "riscv64gc-unknown-none-elf",
    "thumbv7em-none-eabi",
];

/// One target of each further architecture, only in `full`. On an architecture without operations the library must compile
/// and refuse. `i586` has no SSE, as kernels for 32-bit x86.
const ELSEWHERE: [&str; 8] = [
    "riscv32imac-unknown-none-elf",
    "loongarch64-unknown-none",
    "armv7a-none-eabi",
    "wasm32-unknown-unknown",
    "i586-unknown-linux-gnu",
    "powerpc64le-unknown-linux-gnu",
    "powerpc-unknown-linux-gnu",
    "s390x-unknown-linux-gnu",
];

/// Targets of which rustup has no standard library: the nightly compiler builds it.
const WITHOUT_LIBRARY: [&str; 2] = ["sparc64-unknown-linux-gnu", "mips-unknown-linux-gnu"];

/// Targets with `std` and without files, one of them Unix: a dependent may enable these features for all of its targets.
const WITHOUT_FILES: [&str; 2] = ["wasm32-unknown-unknown", "aarch64-linux-android"];

/// Operating systems that run nothing here, and Linux with another C library.
const SYSTEMS: [&str; 5] = [
    "x86_64-pc-windows-gnu",
    "aarch64-pc-windows-msvc",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
    "x86_64-unknown-linux-musl",
];

/// The targets of the lab's images, and the arguments that select the images of a target.
const IMAGES: [(&str, &str); 6] = [
    ("x86_64-unknown-none", "-p cachemaint-lab-freestanding"),
    ("aarch64-unknown-none", "-p cachemaint-lab-freestanding"),
    ("riscv64gc-unknown-none-elf", "-p cachemaint-lab-freestanding --bin freestanding"),
    ("riscv64gc-unknown-none-elf", "-p cachemaint-lab-boards"),
    ("thumbv7em-none-eabi", "-p cachemaint-lab-boards"),
    ("armv7a-none-eabi", "-p cachemaint-lab-boards"),
];

/// Builds the library without `std`. Only a build passes its assembly to the assembler.
pub(crate) fn no_std(_host: &Host, report: &mut Report) -> Result<()> {
    BOARDS.into_iter().try_for_each(|triple| bare(report, triple))
}

/// Does the same for the other architectures, and where features are refused.
pub(crate) fn no_std_elsewhere(_host: &Host, report: &mut Report) -> Result<()> {
    ELSEWHERE.into_iter().try_for_each(|triple| bare(report, triple))?;
    for triple in WITHOUT_FILES {
        on(report, &format!("{triple} with std"), triple, |compiler| {
            compiler.cargo("check").words(packages::WITHOUT_FILES).check()
        })?;
    }
    if let Err(reason) = toolchain::nightly() {
        return report.skip("without a library", format!("{reason:#}"));
    }
    WITHOUT_LIBRARY.into_iter().try_for_each(|triple| {
        report.check(triple, "the bare library compiles without std", || {
            let line = "+nightly check -Zbuild-std=core,alloc -p cachemaint --no-default-features";
            Cmd::cargo(line).args(["--features", "privileged", "--target", triple]).check()
        })
    })
}

/// Builds each package with what it can have on a target without `std`, and the library without anything.
fn bare(report: &mut Report, triple: &str) -> Result<()> {
    on(report, triple, triple, |compiler| {
        let packages = PUBLISHED.iter().filter_map(|package| {
            let features = if has_media(triple) { package.bare } else { package.without_media };
            Some((package.name, features?))
        });
        for (name, features) in packages.chain([("cachemaint", "")]) {
            let line = format!("build -p {name} --no-default-features --features={features}");
            let finding = compiler.cargo(&line).check()?;
            if finding.failure().is_some() {
                return Ok(finding);
            }
        }
        if !has_media(triple) {
            refuses_media(compiler)?;
        }
        Ok(Finding::passed(Tests::default()))
    })
}

/// Checks that a feature that a target cannot have is refused with the reason.
fn refuses_media(compiler: &Compiler) -> Result<()> {
    let refused = compiler.cargo("check").words(packages::REFUSED).refusal()?;
    ensure!(refused.contains("need atomics of 64 bits"), "{refused}");
    Ok(())
}

/// Has a target checked, or skipped without a standard library for it.
fn on(
    report: &mut Report,
    name: &str,
    triple: &str,
    work: impl FnOnce(&Compiler) -> Result<Finding>,
) -> Result<()> {
    match Compiler::new(triple) {
        Err(reason) => report.skip(name, format!("{reason:#}")),
        Ok(compiler) => report.check(name, "the library compiles there", || work(&compiler)),
    }
}

/// Lints each package without features, and with each one alone: it may lack what another one brings.
pub(crate) fn features_alone(_host: &Host, report: &mut Report) -> Result<()> {
    for Package { name, .. } in &PUBLISHED {
        for feature in [String::new()].into_iter().chain(features(name)?) {
            report.check(&format!("{name} {feature}"), "the feature stands alone", || {
                let line = format!("clippy -p {name} --no-default-features --features={feature}");
                Cmd::cargo(&line).words("-- -D warnings").check()
            })?;
        }
    }
    Ok(())
}

/// Lints and documents everything for other systems, without a linker for them. The lab's images are for boards, and the
/// adapters for kernels.
pub(crate) fn systems(_host: &Host, report: &mut Report) -> Result<()> {
    for triple in SYSTEMS {
        on(report, triple, triple, |compiler| {
            let finding = compiler
                .cargo("clippy --all-targets --all-features -p cachemaint-cli")
                .args(published())
                .words("-- -D warnings")
                .check()?;
            if finding.failure().is_some() {
                return Ok(finding);
            }
            let documented = compiler.cargo("doc --no-deps --all-features").args(published());
            documented.env("RUSTDOCFLAGS", "-D warnings").check()
        })?;
    }
    IMAGES.into_iter().try_for_each(|(triple, images)| {
        on(report, &format!("{triple} images"), triple, |compiler| {
            compiler.cargo("clippy").words(images).words("-- -D warnings").check()
        })
    })?;
    BOARDS.into_iter().try_for_each(|triple| {
        on(report, &format!("{triple} adapters"), triple, |compiler| {
            compiler.cargo("clippy -p cachemaint-adapters").words("-- -D warnings").check()
        })
    })
}

pub(crate) fn msrv(_host: &Host, report: &mut Report) -> Result<()> {
    let select = match toolchain::msrv() {
        Ok(select) => select,
        Err(reason) => return report.skip("library", format!("{reason:#}")),
    };
    report.check("library", "the library compiles with the release named as rust-version", || {
        Cmd::new("cargo").arg(&select).words("check --all-features").args(published()).check()
    })
}
