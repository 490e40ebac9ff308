//! Fuzzing of the formats and of what `lose-lines` reads, guided by coverage: `fuzz/` holds the targets.
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
use std::io::{self, Write as _};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use xtask::command::{Cmd, find_program};
use xtask::host::Host;
use xtask::install::install;
use xtask::toolchain;

use crate::run::Run;

/// The targets. Of a format, `bytes` reads any bytes to an end, and `damage` a damaged structure: what is shown of it was
/// written, and what is intact is shown.
const TARGETS: [&str; 9] = [
    "journal_bytes",
    "journal_damage",
    "store_bytes",
    "store_damage",
    "recorder_bytes",
    "recorder_damage",
    "lose_lines_recording",
    "lose_lines_drive_log",
    "lose_lines_nbd",
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
pub(crate) fn fuzz(host: &Host, run: &mut Run) -> Result<()> {
    targets(host, run, &Request { seconds: SECONDS, targets: Vec::new() })
}

pub(crate) fn targets(host: &Host, run: &mut Run, request: &Request) -> Result<()> {
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
        && run.needed("a C++ compiler for libFuzzer", install(&["g++"]))?.is_none()
    {
        return Ok(());
    }
    let build =
        Cmd::cargo("build --locked --release --bins --manifest-path fuzz/Cargo.toml --target")
            .arg(&triple)
            .env("CARGO_TARGET_DIR", host.target_dir("fuzz"))
            .env("RUSTFLAGS", FLAGS.join(" "));
    if !run.command(&build)? {
        return Ok(());
    }
    TARGETS
        .into_iter()
        .filter(|name| is_wanted(name))
        .try_for_each(|name| target(host, run, &triple, name, request.seconds))
}

/// Returns the command that replays the corpora without libFuzzer.
pub(crate) fn replay(host: &Host) -> Cmd {
    Cmd::cargo("test --locked --manifest-path fuzz/Cargo.toml --no-default-features")
        .env("CARGO_TARGET_DIR", host.target_dir("replay"))
        .env("RUSTFLAGS", FLAGS[..2].join(" "))
}

fn target(host: &Host, run: &mut Run, triple: &str, name: &str, seconds: u32) -> Result<()> {
    let folders = ["grown", "corpus", "artifacts"]
        .map(|folder| host.root().join("fuzz").join(folder).join(name));
    for folder in &folders {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let [grown, corpus, artifacts] = folders.map(|folder| format!("{}/", folder.display()));
    let program = host.target_dir("fuzz").join(triple).join("release").join(name);
    let processes = thread::available_parallelism().map_or(1, usize::from).min(PROCESSES);
    let jobs = ["jobs", "workers"].map(|option| format!("-{option}={processes}"));
    let fuzz = Cmd::new(program.display().to_string())
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
        .args([grown, corpus]);
    if !run.command(&fuzz)? {
        let input = newest(&artifacts)?.unwrap_or_else(|| format!("nothing in {artifacts}"));
        writeln!(io::stdout(), "the input is {input}")?;
    }
    Ok(())
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
