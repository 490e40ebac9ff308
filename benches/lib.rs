//! Parts shared by the benchmarks: measuring, running, and the peers for comparison.

pub mod bare;
pub mod contenders;
pub mod cost;
#[cfg(target_os = "linux")]
mod environment;
mod functions;
pub mod libpmem;
#[cfg(target_os = "linux")]
pub mod libpmemlog;
#[cfg(target_os = "linux")]
pub mod libpmemobj;
#[cfg(target_os = "linux")]
pub mod lttng;
pub mod measure;
pub mod payloads;
#[cfg(target_os = "linux")]
pub mod sqlite;
pub mod threads;

use crate::measure::pinning;
use core::error::Error;
use core::fmt;
use core::time::Duration;
use criterion::Criterion;
use std::io::{self, Write};
use std::process::ExitCode;

/// The result of a benchmark.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Runs a benchmark on one core, and prints `summary` if criterion measured everything, not if it only tested, listed
/// or filtered.
pub fn run(
    measure: impl FnOnce(&mut Criterion) -> Outcome + Send,
    summary: impl FnOnce(&mut dyn Write) -> Outcome + Send,
) -> ExitCode {
    print(|_| measure_and_summarize(measure, summary))
}

/// Runs a measurement without criterion on one core, and prints its output.
pub fn print(work: impl FnOnce(&mut dyn Write) -> Outcome + Send) -> ExitCode {
    let on_the_core = || work(&mut io::stdout().lock()).map_err(|error| error.to_string());
    match pinning::pinned(on_the_core).map_err(|error| error.to_string()).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(error),
    }
}

/// Does the same as [`run`], with a value created earlier, when threads can still be pinned to any core.
pub fn run_with<T: Sync>(
    made: Result<T, Box<dyn Error>>,
    measure: impl FnOnce(&T, &mut Criterion) -> Outcome + Send,
    summary: impl FnOnce(&T, &mut dyn Write) -> Outcome + Send,
) -> ExitCode {
    match made {
        Ok(made) => run(|criterion| measure(&made, criterion), |out| summary(&made, out)),
        Err(error) => failure(error),
    }
}

/// Returns true if each benchmark runs only once, to check its result, for which little data is enough. With the
/// variable `CACHEMAINT_REAL_SIZES`, even that run has all data.
#[must_use]
pub fn is_small() -> bool {
    let is_test = std::env::args().any(|argument| argument == "--test");
    is_test && std::env::var_os("CACHEMAINT_REAL_SIZES").is_none()
}

fn failure(error: impl fmt::Display) -> ExitCode {
    // Nothing is left to do if standard error is closed too.
    drop(writeln!(io::stderr(), "{error}"));
    ExitCode::FAILURE
}

fn measure_and_summarize(
    measure: impl FnOnce(&mut Criterion) -> Outcome,
    summary: impl FnOnce(&mut dyn Write) -> Outcome,
) -> Outcome {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    measure(&mut criterion)?;
    criterion.final_summary();
    // `cargo bench` passes `--bench`; anything else tests, lists or filters.
    let mut arguments = std::env::args().skip(1).peekable();
    let all = arguments.peek().is_some() && arguments.all(|argument| argument == "--bench");
    if all { summary(&mut io::stdout().lock()) } else { Ok(()) }
}

/// Returns the time of `iterations` for criterion's `iter_custom`, from samples of `each` iterations with a mean of
/// `ns_of_one`.
#[expect(clippy::cast_precision_loss, reason = "a run has fewer iterations than 2^53")]
pub fn scaled(iterations: u64, each: usize, mut ns_of_one: impl FnMut() -> f64) -> Duration {
    let samples = iterations.div_ceil(each as u64);
    let total: f64 = (0..samples).map(|_| ns_of_one()).sum();
    Duration::from_secs_f64(total / samples as f64 * iterations as f64 * 1e-9)
}
