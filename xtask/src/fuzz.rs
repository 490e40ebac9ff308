//! Fuzzing of the formats, guided by coverage: `fuzz/` holds the targets.
//!
//! The targets are built by the compiler in use, with flags as those of cargo-fuzz, which need not be installed. No
//! sanitizer watches them: they execute no `unsafe` code of the library, and run faster without one.
//!
//! To reduce old and new inputs to a small corpus, run a target of `target/fuzz` with the arguments `-merge=1
//! -use_counters=0 NEW fuzz/corpus/NAME fuzz/grown/NAME`, where `NEW` is an empty folder.
//!
//! libFuzzer starts from `fuzz/corpus` and keeps new inputs under `fuzz/grown`, from which it continues the next time.

use std::env;
use std::fs;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::command::{Check as _, Cmd, find_program};
use crate::host::Host;
use crate::install::install;
use crate::report::{Finding, Report};
use crate::toolchain;

/// The targets. Of a format, `bytes` reads any bytes to an end, and `damage` a damaged structure: what is shown of it was
/// written, and what is intact is shown.
const TARGETS: [&str; 6] = [
    "journal_bytes",
    "journal_damage",
    "store_bytes",
    "store_damage",
    "recorder_bytes",
    "recorder_damage",
];

/// The configuration of the targets, which come first, and counters of edges for libFuzzer. Compared values are not
/// traced: inputs name the values of a format themselves, and run three times as fast without traces. Neither are
/// indirect calls, as level 4 would: those of a target go to one or two media.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "--cfg=cachemaint_small_chunks",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Ccodegen-units=1",
];

/// Processes of a target at most, which share the inputs that they find.
const PROCESSES: usize = 2;
/// Seconds of one input at most.
const INPUT: u32 = 10;
/// Bytes of an input. Longer ones are slower, and reach nothing new.
const LONGEST: u32 = 512;

#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Seconds for each target.
    #[arg(long, default_value_t = SECONDS)]
    seconds: u32,
    /// Only these targets; all targets if none is named.
    targets: Vec<String>,
}

/// Seconds for each target by default.
const SECONDS: u32 = 60;

/// Runs all targets for the usual time.
pub(crate) fn fuzz(host: &Host, report: &mut Report) -> Result<()> {
    run(host, report, &Request { seconds: SECONDS, targets: Vec::new() })
}

pub(crate) fn run(host: &Host, report: &mut Report, request: &Request) -> Result<()> {
    let is_wanted =
        |name: &str| request.targets.is_empty() || request.targets.iter().any(|one| one == name);
    for wanted in &request.targets {
        ensure!(
            TARGETS.contains(&wanted.as_str()),
            "unknown target {wanted}: the targets are {TARGETS:?}"
        );
    }
    let triple = toolchain::native()?;
    let compiler = env::var("CXX").unwrap_or_else(|_unset| String::from("c++"));
    if find_program(&compiler).is_none()
        && let Err(reason) = install(&["g++"])
    {
        return report.skip("targets", format!("libFuzzer needs a C++ compiler: {reason:#}"));
    }
    let build =
        Cmd::cargo("build --locked --release --bins --manifest-path fuzz/Cargo.toml --target")
            .arg(&triple)
            .env("CARGO_TARGET_DIR", host.target_dir("fuzz").display().to_string())
            .env("RUSTFLAGS", FLAGS.join(" "));
    let mut is_built = false;
    report.check("targets", "the targets build", || {
        build.check().inspect(|finding| is_built = finding.failure().is_none())
    })?;
    if !is_built {
        return Ok(());
    }
    TARGETS.into_iter().filter(|name| is_wanted(name)).try_for_each(|name| {
        let proves = "no input breaks the format";
        report.check(name, proves, || target(host, &triple, name, request.seconds))
    })
}

/// Replays the corpora without libFuzzer.
pub(crate) fn replay(host: &Host) -> Result<Finding> {
    Cmd::cargo("test --locked --manifest-path fuzz/Cargo.toml --no-default-features")
        .env("CARGO_TARGET_DIR", host.target_dir("replay").display().to_string())
        .env("RUSTFLAGS", FLAGS[..2].join(" "))
        .check_tests()
}

fn target(host: &Host, triple: &str, name: &str, seconds: u32) -> Result<Finding> {
    let folders = ["grown", "corpus", "artifacts"]
        .map(|folder| host.root().join("fuzz").join(folder).join(name));
    for folder in &folders {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let [grown, corpus, artifacts] = folders.map(|folder| format!("{}/", folder.display()));
    let program = host.target_dir("fuzz").join(triple).join("release").join(name);
    let processes = thread::available_parallelism().map_or(1, usize::from).min(PROCESSES);
    let jobs = ["jobs", "workers"].map(|option| format!("-{option}={processes}"));
    let finding = Cmd::new(program.display().to_string())
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-artifact_prefix={artifacts}"))
        // A schedule by rare features takes a sixth of the time, and finds no more.
        .arg("-entropic=0")
        .arg("-print_final_stats=1")
        .args(jobs)
        // Each process writes its log there.
        .folder(&host.target_dir("fuzz"))
        // Media come and go with each input, so freed pages are kept.
        .env("MALLOC_TRIM_THRESHOLD_", "67108864")
        .args([grown, corpus])
        .limit(seconds.saturating_add(120))
        .check()?;
    Ok(match finding.failure() {
        None => finding,
        Some(why) => {
            let input = newest(&artifacts)?.unwrap_or_else(|| format!("nothing in {artifacts}"));
            Finding::failed(finding.tests(), format!("the input is {input}: {why}"))
        }
    })
}

/// Returns the file in a folder that was written last.
fn newest(folder: &str) -> Result<Option<String>> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {folder}"))?;
    let dated = files.filter_map(|file| {
        let file = file.ok()?;
        Some((file.metadata().ok()?.modified().ok()?, file.path()))
    });
    Ok(dated.max().map(|(_, path)| path.display().to_string()))
}
