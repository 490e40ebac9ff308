//! Checks that run the code on this machine: tests, Miri, loom, benchmarks.

use anyhow::{Context as _, Result, ensure};

use crate::command::{Check as _, Cmd, find_program};
use crate::fuzz;
use crate::host::Host;
use crate::install::install;
use crate::libpmem;
use crate::packages::{GENERATED, LOOM, MIRI, MIRI_OF_FORMATS};
use crate::report::Report;
use crate::toolchain;

/// Tests of functions without unsafe code or pointers: over recorded machines and texts, and arithmetic. Miri cannot
/// find more there than the native run, and takes minutes to read the texts.
const NOTHING_FOR_MIRI: [&str; 12] = [
    "aliasing::tests::",
    "arch::aarch64::set_way::",
    "arch::lines::",
    "cache::copy::tests::policy::a_translator_promises_nothing",
    "cache::copy::tests::policy::each_path_has_a_store_that_is_there",
    "cache::copy::tests::policy::the_promise_is_intels_alone",
    "cache::copy::tests::policy::without_the_promise_lines_are_written_back_whatever_the_cpu_has",
    "cpu::aarch64::sysfs::",
    "cpu::powerpc::sysfs::",
    "dax::system::linux::ask::",
    "dax::system::linux::device::",
    "report::tests::",
];

/// Unit tests of the formats that use files, or that loop over numbers for minutes there.
const FORMATS_NATIVELY: [&str; 4] =
    ["writing::file::", "table::", "record::", "records_of_a_full_window"];

/// Returns `--skip` for each name.
pub(crate) fn skipping<'a>(names: impl IntoIterator<Item = &'a &'a str>) -> Vec<&'a str> {
    names.into_iter().flat_map(|name| ["--skip", *name]).collect()
}

pub(crate) fn test(_host: &Host, report: &mut Report) -> Result<()> {
    if let Err(reason) = make_file_systems_available() {
        report.skip("file systems", format!("the tests make none: {reason:#}"))?;
    }
    report.check("as in the README", "the tests pass as a new user runs them", || {
        Cmd::cargo("test").check_tests()
    })?;
    report.check(
        "mutation",
        "no write-back, fence or order of a format can be left out",
        || {
            Cmd::cargo("test --no-fail-fast -- --ignored --skip commands_of_a_checkout")
                .check_tests()
        },
    )?;
    report.check(
        "long",
        "generated histories, killed processes and the examples are right",
        || {
            let line =
                "test -p cachemaint-long-tests -p cachemaint-examples -p cachemaint-adapters";
            Cmd::cargo(line).check_tests()
        },
    )?;
    report.check("tools", "the patches fit, and the lab's tool and plugin are right", || {
        Cmd::cargo("test -p xtask -p lose-lines --lib --bins --examples").check_tests()
    })?;
    report.check("files", "power cuts by system calls are right", || {
        Cmd::cargo("test -p lose-lines -p lose-lines-states --test *").check_tests()
    })
}

/// Makes the programs available without which tests that make a file system skip themselves.
fn make_file_systems_available() -> Result<()> {
    ensure!(Cmd::new("id").arg("-u").read()?.trim() == "0", "a loop device needs root");
    install(&["e2fsprogs", "xfsprogs", "btrfs-progs"])?;
    for program in ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"] {
        find_program(program).with_context(|| format!("{program} is not in PATH"))?;
    }
    Ok(())
}

/// Runs the commands of documents that build, as a reader types them.
pub(crate) fn guide(_host: &Host, report: &mut Report) -> Result<()> {
    report.check("checkout", "the guide's commands of a checkout succeed", || {
        Cmd::cargo("test -p cachemaint-cli --test command commands_of_a_checkout -- --ignored")
            .check_tests()
    })?;
    report.check("contributing", "the commands of CONTRIBUTING.md succeed", || {
        Cmd::cargo("test -p xtask --test contributing -- --ignored").check_tests()
    })
}

/// Runs the tests and benchmarks that a change of the library rarely breaks.
pub(crate) fn members(host: &Host, report: &mut Report) -> Result<()> {
    report.check("members", "the tests of every other member pass", || {
        Cmd::cargo("test --workspace --exclude cachemaint --exclude cachemaint-cli --all-features")
            .words("--no-fail-fast --lib --bins --examples")
            .check_tests()
    })?;
    // Times mean nothing here.
    report.check(
        "benchmarks",
        "every benchmark runs, and its data are right afterwards",
        || {
            Cmd::cargo(
                "bench --workspace --exclude cachemaint --exclude cachemaint-cli --all-features",
            )
            .words("--profile dev --bench *")
            .args(["--", "--test"])
            .check()
        },
    )?;
    report.check("documentation", "the documentation of every member builds", || {
        let line = "doc --workspace --no-deps --all-features";
        Cmd::cargo(line).env("RUSTDOCFLAGS", "-D warnings").check()
    })?;
    libpmem::test(host, report)?;
    report.check("bare library", "the tests pass without any feature", || {
        Cmd::cargo("test -p cachemaint --no-default-features").check_tests()
    })?;
    report.check(
        "goldens",
        "the public items and the figures are those that were reviewed",
        || Cmd::cargo(GOLDENS).check_tests(),
    )?;
    report
        .check("corpora", "no input of the fuzzers' corpora breaks a format", || fuzz::replay(host))
}

/// The tests of the list of public items, and of the guide's figure.
const GOLDENS: &str = "test -p xtask --test interface --test figures";

/// Runs the tests with many more generated cases, and far more commands on changing files.
pub(crate) fn cases(_host: &Host, report: &mut Report) -> Result<()> {
    report.check("many cases", "the properties hold for far more generated cases", || {
        Cmd::cargo("test --release")
            .words(GENERATED)
            .env("PROPTEST_CASES", "20000")
            .env("CACHEMAINT_HISTORIES", "200000")
            .check_tests()
    })?;
    report.check("many faults", "no command dies of a file that changes under it", || {
        Cmd::cargo("test --release -p cachemaint-cli --test command no_command_dies")
            .env("CACHEMAINT_FAULT_RUNS", "10000")
            .check_tests()
    })
}

pub(crate) fn miri(_host: &Host, report: &mut Report) -> Result<()> {
    if let Err(reason) = toolchain::nightly() {
        return report.skip("library", format!("Miri is not to be had: {reason:#}"));
    }
    report.check(
        "library",
        "no undefined behaviour above the instructions, on the modelled back end",
        || {
            // Miri interprets: few generated cases must do. The other programs have no test for it, or the
            // same ones again.
            Cmd::cargo("+nightly miri test")
                .words(MIRI)
                .arg("--")
                .args(skipping(&NOTHING_FOR_MIRI))
                .env("MIRIFLAGS", "-Zmiri-disable-isolation")
                .env("PROPTEST_CASES", "4")
                .check_tests()
        },
    )?;
    report.check("formats", "no undefined behaviour and no data race in the formats", || {
        Cmd::cargo("+nightly miri test")
            .words(MIRI_OF_FORMATS)
            .arg("--")
            .args(skipping(&FORMATS_NATIVELY))
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            .check_tests()
    })
}

pub(crate) fn loom(host: &Host, report: &mut Report) -> Result<()> {
    report.check(
        "interleavings",
        "every one of threads that share a choice, a log or a word is right",
        || {
            // A target directory of its own: the flag would rebuild everything else. To optimise the crates that the
            // tests need takes far longer than the tests.
            Cmd::cargo("test")
                .words(LOOM)
                .arg("loom_tests")
                .env("RUSTFLAGS", "--cfg cachemaint_loom")
                .env("CARGO_TARGET_DIR", host.target_dir("loom").display().to_string())
                .check_tests()
        },
    )
}
