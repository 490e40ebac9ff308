//! Steps that run the code on this machine: tests, Miri, loom, benchmarks, and lanes.

use anyhow::{Context as _, Result};
use xtask::absent::Lacks;
use xtask::c_libraries;
use xtask::command::{Cmd, find_program};
use xtask::host::Host;
use xtask::install::install;
use xtask::packages::{GENERATED, LOOM, MIRI, MIRI_OF_FORMATS, PAUSING};
use xtask::toolchain;

use crate::fuzz;
use crate::run::Run;

/// Tests of functions without unsafe code or pointers: over recorded machines and texts, and arithmetic. Miri cannot
/// find more there than the native run, and takes minutes to read the texts.
const NOTHING_FOR_MIRI: &str = "aliasing::tests:: arch::lines:: \
    cache::copy::tests::policy::a_translator_promises_nothing \
    cache::copy::tests::policy::each_path_has_a_store_that_is_there \
    cache::copy::tests::policy::the_promise_is_intels_alone \
    cache::copy::tests::policy::without_the_promise_lines_are_written_back_whatever_the_cpu_has \
    cpu::aarch64::sysfs:: cpu::powerpc::sysfs:: dax::system::linux::ask:: dax::system::linux::device:: \
    report::tests::";

/// Unit tests of the formats that use files, or that loop over numbers for minutes there.
const FORMATS_NATIVELY: &str = "writing::file:: table:: record:: records_of_a_full_window";

/// Returns `cargo test` for the lanes of the lab.
fn lab() -> Cmd {
    Cmd::cargo("test -p cachemaint-lab-tests --test lanes --")
}

pub(crate) fn test(_host: &Host, run: &mut Run) -> Result<()> {
    run.needed("tests that make file systems", make_file_systems_available())?;
    // As the README says.
    run.tests(&Cmd::cargo("test"))?;
    run.tests(&Cmd::cargo("test -p cachemaint-examples -p cachemaint-adapters"))?;
    let tools = "test -p xtask -p cachemaint-lab-tests --lib --bins";
    run.tests(&Cmd::cargo(tools))?;
    // The parts of lose-lines that no user tests.
    let parts = "test -p lose-lines-agent -p lose-lines-dma -p lose-lines-drive -p lose-lines-machine \
                 -p lose-lines-plugin -p lose-lines-recorder";
    run.tests(&Cmd::cargo(parts)).map(drop)
}

/// Checks that no write-back, fence or order of a format can be left out.
pub(crate) fn proofs(_host: &Host, run: &mut Run) -> Result<()> {
    let ignored = "test --no-fail-fast -- --ignored --skip commands_of_a_checkout";
    run.tests(&Cmd::cargo(ignored)).map(drop)
}

pub(crate) fn histories(_host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&Cmd::cargo("test -p cachemaint-long-tests")).map(drop)
}

/// Makes the programs available without which tests that make a file system skip themselves.
fn make_file_systems_available() -> Result<()> {
    if Cmd::new("id").arg("-u").read()?.trim() != "0" {
        return Err(Lacks::Root.error("a loop device needs root"));
    }
    install(&["e2fsprogs", "xfsprogs", "btrfs-progs"])?;
    for program in ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"] {
        find_program(program).with_context(|| format!("{program} is not in PATH"))?;
    }
    Ok(())
}

pub(crate) fn lanes_of_each_change(_host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&lab().arg("[ci]")).map(drop)
}

pub(crate) fn all_lanes(_host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&lab().words("--skip defect/")).map(drop)
}

pub(crate) fn defects(_host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&lab().arg("defect/")).map(drop)
}

/// Runs the commands of documents that build, as a reader types them.
pub(crate) fn guide(_host: &Host, run: &mut Run) -> Result<()> {
    let line = "test -p cachemaint-cli --test command commands_of_a_checkout -- --ignored";
    run.tests(&Cmd::cargo(line))?;
    run.tests(&Cmd::cargo("test -p xtask --test contributing -- --ignored")).map(drop)
}

/// The members that `cargo test` leaves out.
const OTHERS: &str = "--workspace --exclude cachemaint --exclude cachemaint-cli --all-features";

/// Runs each benchmark once with the data that a debug build can work through. Times mean nothing here; its data must be
/// right afterwards.
pub(crate) fn benches(_host: &Host, run: &mut Run) -> Result<()> {
    let bench = Cmd::cargo("bench").words(OTHERS).words("--profile dev --bench * -- --test");
    run.command(&bench).map(drop)
}

/// Runs once, with all data, those benchmarks that [`benches`] runs with less.
pub(crate) fn benches_at_size(_host: &Host, run: &mut Run) -> Result<()> {
    let large = Cmd::cargo("bench -p cachemaint-benches")
        .words("--bench opening --bench readers --bench recovery");
    run.command(&large.words("-- --test").env("CACHEMAINT_REAL_SIZES", "1")).map(drop)
}

/// Runs the tests that a change of the library rarely breaks.
pub(crate) fn members(host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&Cmd::cargo("test").words(OTHERS).words("--no-fail-fast --lib --bins --examples"))?;
    let doc = Cmd::cargo("doc --workspace --no-deps --all-features");
    run.command(&doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    libpmem(host, run)?;
    let generate =
        "test -p cachemaint-cli --features generate --test command -- a_package_has a_limit_of";
    run.tests(&Cmd::cargo(generate))?;
    run.tests(&Cmd::cargo("test -p cachemaint --no-default-features"))?;
    run.tests(&Cmd::cargo("test -p xtask --test interface --test figures")).map(drop)
}

/// Runs the fuzzers on the inputs that they have found before.
pub(crate) fn corpora(host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&fuzz::replay(host)).map(drop)
}

/// Runs the tests of the replacement of libpmem as C programs use it. A lane has them beside the original.
pub(crate) fn libpmem(host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&c_libraries::tests_of_libpmem(host)?).map(drop)
}

/// Runs the tests with many more generated cases, and far more commands on changing files.
pub(crate) fn cases(_host: &Host, run: &mut Run) -> Result<()> {
    let many = Cmd::cargo("test --release").words(GENERATED);
    run.tests(&many.env("PROPTEST_CASES", "20000").env("CACHEMAINT_HISTORIES", "200000"))?;
    let faults = Cmd::cargo("test --release -p cachemaint-cli --test command no_command_dies");
    run.tests(&faults.env("CACHEMAINT_FAULT_RUNS", "10000")).map(drop)
}

pub(crate) fn miri(_host: &Host, run: &mut Run) -> Result<()> {
    if run.needed("Miri", toolchain::nightly())?.is_none() {
        return Ok(());
    }
    let miri = |packages, skipped: &'static str| {
        let skips = skipped.split(' ').flat_map(|name| ["--skip", name]);
        let tests = Cmd::cargo("+nightly miri test").words(packages).arg("--").args(skips);
        tests.env("MIRIFLAGS", "-Zmiri-disable-isolation")
    };
    // Miri interprets: few generated cases must do. The other programs have no test for it, or the same ones again.
    run.tests(&miri(MIRI, NOTHING_FOR_MIRI).env("PROPTEST_CASES", "4"))?;
    run.tests(&miri(MIRI_OF_FORMATS, FORMATS_NATIVELY)).map(drop)
}

pub(crate) fn loom(host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&built_for("loom", host, Cmd::cargo("test").words(LOOM).arg("loom_tests"))).map(drop)
}

/// Runs the tests of the formats that have threads, while each atomic may pause.
pub(crate) fn pausing(host: &Host, run: &mut Run) -> Result<()> {
    run.tests(&built_for("pausing", host, Cmd::cargo("test").words(PAUSING))).map(drop)
}

/// Sets a flag of the family, and a target directory of its own: the flag would rebuild everything else. To optimise the
/// crates that loom's tests need takes far longer than the tests.
fn built_for(flag: &str, host: &Host, tests: Cmd) -> Cmd {
    tests
        .env("RUSTFLAGS", format!("--cfg cachemaint_{flag}"))
        .env("CARGO_TARGET_DIR", host.target_dir(flag))
}
