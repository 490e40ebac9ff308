//! Checks that only compile: machines without `std`, other operating systems, and the oldest supported compiler.

use anyhow::{Result, ensure};

use crate::command::{Check as _, Cmd, QUICKLY_BUILT};
use crate::host::Host;
use crate::report::{Finding, Report, Tests};
use crate::toolchain::{self, Compiler};

/// Kernels and boards, and one target of each further architecture. On an architecture without operations the library
/// must compile and refuse. `i586` has no SSE, as kernels for 32-bit x86.
const BARE: [&str; 12] = [
    "x86_64-unknown-none",
    "aarch64-unknown-none",
    "riscv64gc-unknown-none-elf",
    "riscv32imac-unknown-none-elf",
    "loongarch64-unknown-none",
    "armv7a-none-eabi",
    "thumbv7em-none-eabi",
    "wasm32-unknown-unknown",
    "i586-unknown-linux-gnu",
    "powerpc64le-unknown-linux-gnu",
    "powerpc-unknown-linux-gnu",
    "s390x-unknown-linux-gnu",
];

/// Targets with `std` and without files, one of them Unix: a dependent may enable every feature for all of its targets, but
/// the simulator, whose generator of histories needs random numbers of the system.
const WITHOUT_FILES: [&str; 2] = ["wasm32-unknown-unknown", "aarch64-linux-android"];

/// Further bare targets, only in `full`: rustup has no standard library for them, and building it takes longer than all
/// checks.
const BARE_ELSEWHERE: [&str; 2] = ["sparc64-unknown-linux-gnu", "mips-unknown-linux-gnu"];

/// The boards of `examples/driver`.
const BOARDS: [&str; 4] = [
    "x86_64-unknown-none",
    "aarch64-unknown-none",
    "riscv64gc-unknown-none-elf",
    "thumbv7em-none-eabi",
];

/// Targets without atomics of 64 bits, on which media and everything built on them depend.
const WITHOUT_MEDIA: [&str; 4] = [
    "riscv32imac-unknown-none-elf",
    "thumbv7em-none-eabi",
    "mips-unknown-linux-gnu",
    "powerpc-unknown-linux-gnu",
];

/// Operating systems that run nothing here, and Linux with another C library; true if the tests are compiled too. The
/// system calls of the tests differ between Windows and the others, and hardly within these, whose tests `full`
/// compiles.
const SYSTEMS: [(&str, bool); 3] = [
    ("x86_64-pc-windows-gnu", true),
    ("aarch64-apple-darwin", false),
    ("x86_64-unknown-linux-musl", false),
];

/// The systems above on another architecture, which only `full` compiles.
const ELSEWHERE: [&str; 2] = ["aarch64-pc-windows-msvc", "x86_64-apple-darwin"];

pub(crate) fn no_std(host: &Host, report: &mut Report) -> Result<()> {
    compiles_bare(host, report, &BARE)?;
    compiles_without_files(host, report)
}

/// Runs the step `no-std` for the other targets.
pub(crate) fn no_std_elsewhere(host: &Host, report: &mut Report) -> Result<()> {
    compiles_bare(host, report, &BARE_ELSEWHERE)
}

fn compiles_bare(host: &Host, report: &mut Report, targets: &[&str]) -> Result<()> {
    targets.iter().try_for_each(|&triple| {
        let compiler = match toolchain::for_library(host, triple) {
            Ok(compiler) => compiler,
            Err(reason) => return report.skip(triple, format!("{reason:#}")),
        };
        if BOARDS.contains(&triple) {
            report.check(
                &format!("{triple} driver"),
                "the driver of the examples compiles",
                || compiler.cargo(&format!("check -p cachemaint-driver --target {triple}")).check(),
            )?;
        }
        let mut cargo = |name: &str, line: &str| {
            let proves = format!("the bare library compiles without std ({})", compiler.name);
            report.check(&format!("{triple}{name}"), &proves, || {
                let line = format!("{line} -p cachemaint --no-default-features --target {triple}");
                compiler.cargo(&line).args(QUICKLY_BUILT).check()
            })
        };
        // Only a build passes the library's assembly to the assembler. A build of the standard library too takes a
        // minute, and rustup has it for every architecture with instructions of its own here.
        let task = if compiler.builds_std() { "check" } else { "build" };
        if WITHOUT_MEDIA.contains(&triple) {
            cargo(" privileged", &format!("{task} --features privileged"))?;
            cargo("", "check")?;
            return refuses_media(&compiler, report, triple);
        }
        cargo(" with logs", &format!("{task} --features privileged,journal,recorder,preserve"))?;
        cargo("", "check")?;
        cargo(" reading", "check --features preserve-read")
    })
}

fn compiles_without_files(host: &Host, report: &mut Report) -> Result<()> {
    WITHOUT_FILES.iter().try_for_each(|triple| {
        let name = format!("{triple} with every feature");
        let compiler = match toolchain::in_use(host, triple) {
            Ok(compiler) => compiler,
            Err(reason) => {
                return report.skip(&name, format!("no standard library for it: {reason:#}"));
            }
        };
        report.check(&name, "the library compiles for a system without files", || {
            let features = "std,dax,serde,privileged,journal,recorder,preserve";
            let line = format!("check -p cachemaint --features {features} --target {triple}");
            compiler.cargo(&line).args(QUICKLY_BUILT).check()
        })
    })
}

/// Checks that each feature that a target cannot have is refused with the reason.
fn refuses_media(compiler: &Compiler, report: &mut Report, triple: &str) -> Result<()> {
    let name = format!("{triple} without media");
    report.check(&name, "features that need atomics of 64 bits are refused", || {
        for feature in ["journal", "recorder", "preserve-read"] {
            let line = format!(
                "check -p cachemaint --no-default-features --features {feature} --target {triple}"
            );
            let refused = compiler.cargo(&line).refusal()?;
            ensure!(refused.contains("need atomics of 64 bits"), "{feature}: {refused}");
        }
        Ok(Finding::passed(Tests::default()))
    })
}

/// Returns the words with which cargo enables every feature that a target can have.
pub(crate) fn every_feature(triple: &str) -> &'static str {
    if has_formats(triple) { "--all-features" } else { "--features privileged,serde" }
}

/// Returns the words with which cargo enables what executes maintenance, block stores and counters on a target.
pub(crate) fn features_of_instructions(triple: &str) -> &'static str {
    if has_formats(triple) {
        "--no-default-features --features std,privileged,recorder,serde"
    } else {
        "--no-default-features --features std,privileged,serde"
    }
}

/// Returns true if a target has the atomics that media and formats need.
pub(crate) fn has_formats(triple: &str) -> bool {
    !WITHOUT_MEDIA.contains(&triple)
}

/// Without a linker for them: the lints see what only they compile.
pub(crate) fn systems(host: &Host, report: &mut Report) -> Result<()> {
    compiles_there(host, report, &SYSTEMS)
}

/// Runs the step `systems`, with the tests of each.
pub(crate) fn systems_with_tests(host: &Host, report: &mut Report) -> Result<()> {
    let systems = SYSTEMS.map(|(triple, _)| triple).into_iter().chain(ELSEWHERE);
    compiles_there(host, report, &systems.map(|triple| (triple, true)).collect::<Vec<_>>())
}

fn compiles_there(host: &Host, report: &mut Report, systems: &[(&str, bool)]) -> Result<()> {
    if let Err(reason) = toolchain::component(host, "clippy", "cargo-clippy") {
        return report.skip("lints", format!("{reason:#}"));
    }
    systems.iter().try_for_each(|(triple, with_tests)| {
        let compiler = match toolchain::in_use(host, triple) {
            Ok(compiler) => compiler,
            Err(reason) => {
                return report.skip(triple, format!("no standard library for it: {reason:#}"));
            }
        };
        let (proves, targets) = if *with_tests {
            ("the library, its tests and the command compile there", "--all-targets")
        } else {
            ("the library and the command compile there", "--lib --bins")
        };
        report.check(triple, proves, || {
            compiler
                .cargo("clippy -p cachemaint -p cachemaint-cli --all-features")
                .words(targets)
                .args(["--target", triple, "--", "-D", "warnings"])
                .check()
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
