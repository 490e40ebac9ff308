//! The lab: every claim run on CPUs and whole machines that this one is not. What each lane proves,
//! and what no emulator can, is told in `tests/lab/README.md`.
//!
//! A [`Lane`] is prepared first, one after the other: what it needs is found, fetched or built. What
//! cannot be had is the reason to skip it; what does not build is its failure. Prepared lanes then
//! run side by side, as many as there are cores, each with a log of its own.

mod cpus;
mod elf;
mod emulator;
mod expectation;
mod freestanding;
mod initramfs;
mod kit;
mod machine;
mod machines;
mod plugin;
mod prove;
pub(crate) mod runner;

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use self::cpus::Targets;
use self::kit::Kits;

use crate::command::Cmd;
use crate::host::Host;
use crate::log::Log;
use crate::report::{Finding, Report, Tests};
use crate::toolchain::Compiler;

/// What `cargo xtask lab` is asked for.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Request {
    /// Lanes to run: names as listed, or their beginnings [default: all but the long ones].
    lanes: Vec<String>,
    /// List the lanes and what each proves.
    #[arg(long)]
    list: bool,
    /// Run the long lanes instead of the others.
    #[arg(long)]
    long: bool,
    /// Prove that the lab can fail: plant breakages, and demand that a lane notices each.
    #[arg(long, conflicts_with_all = ["lanes", "list", "long"])]
    prove: bool,
}

impl Request {
    /// A long lane is run by its own name too.
    fn selects(&self, lane: &Lane) -> bool {
        let is_named = |wanted: &String| lane.name.starts_with(wanted.as_str());
        self.lanes.contains(&lane.name)
            || self.long == lane.is_long
                && (self.lanes.is_empty() || self.lanes.iter().any(is_named))
    }
}

/// One thing to prove, on one machine.
pub(crate) struct Lane {
    /// `group/name`; how it is selected.
    name: String,
    /// What holds if it passes.
    proves: String,
    /// Takes minutes or gigabytes: run only when asked for.
    is_long: bool,
    prepare: Box<Prepare>,
}

/// Finds, fetches or builds what a lane needs. An error that is [`Unavailable`] is the reason to skip
/// the lane; any other is its failure.
type Prepare = dyn FnOnce(&Lab<'_>) -> Result<Run>;

/// Why a lane cannot be run on this machine: something that it needs is not to be had.
#[derive(Clone, Debug)]
pub(crate) struct Unavailable(String);

impl Unavailable {
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(crate) fn because(why: anyhow::Error) -> Self {
        Self(format!("{why:#}"))
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Unavailable {}

/// The work of a lane. It has its own time limit.
pub(crate) type Run = Box<dyn FnOnce(&mut Log) -> Result<Finding> + Send>;

impl Lane {
    pub(crate) fn new(
        name: impl Into<String>,
        proves: impl Into<String>,
        prepare: impl FnOnce(&Lab<'_>) -> Result<Run> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            proves: proves.into(),
            is_long: false,
            prepare: Box::new(prepare),
        }
    }

    /// Runs only when it is asked for.
    pub(crate) fn long(mut self) -> Self {
        self.is_long = true;
        self
    }
}

/// Where lanes take their sources from, and where they build.
pub(crate) struct Lab<'a> {
    pub(crate) host: &'a Host,
    /// The workspace that is put to the test.
    tree: PathBuf,
    /// Below it everything is built and logged.
    work: PathBuf,
    kits: Kits,
    targets: Targets,
}

impl<'a> Lab<'a> {
    fn new(host: &'a Host) -> Self {
        Self::of(host, host.root())
    }

    /// The lab for another tree than the one that it is part of.
    fn of(host: &'a Host, tree: &Path) -> Self {
        Self {
            host,
            tree: tree.to_path_buf(),
            work: host.target_dir("lab"),
            kits: Kits::default(),
            targets: Targets::default(),
        }
    }

    /// `cargo` with the words of `line`, in the workspace that is put to the test.
    pub(crate) fn cargo(&self, compiler: &Compiler, line: &str) -> Cmd {
        compiler
            .cargo(line)
            .folder(&self.tree)
            .env_default("CARGO_TARGET_DIR", self.work.join("target").display().to_string())
    }

    /// The workspace that is put to the test.
    pub(crate) fn tree(&self) -> &Path {
        &self.tree
    }

    /// A folder for what lanes make, besides cargo's.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }
}

/// Every lane there is.
fn lanes() -> Vec<Lane> {
    let groups = [cpus::lanes(), freestanding::lanes(), plugin::lanes(), machines::lanes()];
    groups.into_iter().flatten().collect()
}

/// The step `lab` of the checks: all lanes but the long ones.
pub(crate) fn lab(host: &Host, report: &mut Report) -> Result<()> {
    run_selected(host, report, &Request::default())
}

/// The long lanes.
pub(crate) fn lab_long(host: &Host, report: &mut Report) -> Result<()> {
    run_selected(host, report, &Request { long: true, ..Request::default() })
}

/// Each planted breakage is noticed.
pub(crate) fn lab_prove(host: &Host, report: &mut Report) -> Result<()> {
    prove::prove(host, report)
}

/// Does what was asked for; whether that was to run lanes.
pub(crate) fn run(host: &Host, report: &mut Report, request: &Request) -> Result<bool> {
    if request.list {
        list()?;
        return Ok(false);
    }
    if request.prove {
        prove::prove(host, report)?;
    } else {
        run_selected(host, report, request)?;
    }
    Ok(true)
}

fn run_selected(host: &Host, report: &mut Report, request: &Request) -> Result<()> {
    let selected: Vec<Lane> = lanes().into_iter().filter(|lane| request.selects(lane)).collect();
    ensure!(!selected.is_empty(), "no lane of this name: `cargo xtask lab --list` names them");
    run_lanes(&Lab::new(host), selected, |name, finding, took| {
        report.record(name, &format!("lab {name}"), finding, took)
    })
}

fn list() -> Result<()> {
    let lanes = lanes();
    let width = lanes.iter().map(|lane| lane.name.len()).max().unwrap_or(0);
    for lane in lanes {
        let long = if lane.is_long { " (long)" } else { "" };
        writeln!(io::stdout(), "{:width$}  {}{long}", lane.name, lane.proves)?;
    }
    Ok(())
}

/// A lane that can run, and its name.
type Queued = (String, Run);

/// Prepares the lanes, runs them side by side, and hands over what each came to.
fn run_lanes(
    lab: &Lab<'_>,
    lanes: Vec<Lane>,
    mut record: impl FnMut(&str, Finding, Duration) -> Result<()>,
) -> Result<()> {
    writeln!(io::stdout(), "\nlab: fetching and building what {} lanes need", lanes.len())?;
    let mut queue = VecDeque::new();
    for lane in lanes {
        let start = Instant::now();
        match (lane.prepare)(lab) {
            Ok(run) => queue.push_back((lane.name, run)),
            Err(why) if why.is::<Unavailable>() => {
                record(&lane.name, Finding::skipped(format!("{why:#}")), start.elapsed())?;
            }
            Err(why) => {
                let finding = Finding::failed(Tests::default(), format!("{why:#}"));
                record(&lane.name, finding, start.elapsed())?;
            }
        }
    }
    let jobs = thread::available_parallelism().map_or(1, usize::from).min(queue.len());
    writeln!(io::stdout(), "\nlab: running {} lanes, {jobs} side by side", queue.len())?;
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let (results, arriving) = mpsc::channel();
        for _ in 0..jobs {
            let (queue, work, results) = (&queue, &lab.work, results.clone());
            scope.spawn(move || {
                while let Some((name, run)) = next(queue) {
                    let start = Instant::now();
                    let finding = run_one(work, &name, run);
                    // Nobody listens any more if the table cannot be written.
                    if results.send((name, finding, start.elapsed())).is_err() {
                        break;
                    }
                }
            });
        }
        drop(results);
        arriving.into_iter().try_for_each(|(name, finding, took)| record(&name, finding, took))
    })
}

fn next(queue: &Mutex<VecDeque<Queued>>) -> Option<Queued> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Runs a lane with a log, whose end is told if it fails.
fn run_one(work: &Path, name: &str, run: Run) -> Finding {
    let failed = |why: &anyhow::Error| Finding::failed(Tests::default(), format!("{why:#}"));
    let mut log = match Log::create(work, name) {
        Ok(log) => log,
        Err(why) => return failed(&why),
    };
    let finding = run(&mut log).unwrap_or_else(|why| failed(&why));
    match finding.failure() {
        Some(why) => Finding::failed(finding.tests(), format!("{why}\n{}", log.end())),
        None => finding,
    }
}
