//! The models of `lose-lines-states` and mounted file systems, compared in both directions.

mod disk;
mod exceptions;
mod kernel;
mod model;
mod program;
mod real;
mod tree;

use alloc::collections::{BTreeMap, BTreeSet};
use core::sync::atomic::{AtomicU64, Ordering};
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail, ensure};
use fastrand::Rng;
use lose_lines_machine::transcript::Transcript;
use lose_lines_states::{Choice, Model};
use xtask::absent::Lacks;
use xtask::install::install;

use crate::lane::Lane;
use model::Seen;
use program::Program;
use real::{Kind, Real};

/// Most of the time is waiting for mount(2) and umount(2).
const THREADS: usize = 6;

/// A program is given up after this many runs without a new state.
const PATIENCE: u64 = 10;

/// The least share of the model's states that must be shown, in percent of those that no exception explains.
const LEAST: usize = 95;

/// The environment variable with the seed of one program, to repeat it alone.
const PROGRAM: &str = "PROGRAM";

const KINDS: [Kind; 3] = [
    Kind { name: "ext4", size: 24 << 20, made: "-q -b 4096", mounted: "", package: "e2fsprogs" },
    Kind { name: "xfs", size: 320 << 20, made: "-q -f", mounted: "nouuid", package: "xfsprogs" },
    Kind { name: "btrfs", size: 128 << 20, made: "-q -f", mounted: "", package: "btrfs-progs" },
];

/// The amount of a comparison.
#[derive(Clone, Copy)]
struct Amount {
    programs: u64,
    /// A program with more states of the model is left out.
    most_states: usize,
    /// The most runs of a program.
    runs: u64,
}

const SHORT: Amount = Amount { programs: 10, most_states: 12, runs: 40 };
const LONG: Amount = Amount { programs: 300, most_states: 40, runs: 40 };

/// Returns the lanes.
pub(crate) fn lanes() -> Vec<Lane> {
    let lane = |kind: &'static Kind, of: &str, amount| {
        Lane::new(format!("states/{}{of}", kind.name), move |_lab| {
            prepare(kind)?;
            Ok(Box::new(move |log: &mut Transcript| compare(kind, amount, log)))
        })
    };
    KINDS.iter().flat_map(|kind| [lane(kind, "", SHORT), lane(kind, "/long", LONG)]).collect()
}

/// Checks that this system can mount the file system on a device of its own.
fn prepare(kind: &Kind) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Lacks::Root.error("mount(2) needs root"));
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if !Path::new(device).exists() {
            return Err(Lacks::LoopDevice.error(format_args!("{device} is not there")));
        }
    }
    let known = fs::read_to_string("/proc/filesystems")?;
    if !known.lines().any(|line| line.trim() == kind.name) {
        return Err(Lacks::LoopDevice.error(format_args!("the kernel has no {}", kind.name)));
    }
    install(&["mount", kind.package])
}

/// What was compared.
#[derive(Default)]
struct Sum {
    programs: u64,
    states: usize,
    shown: usize,
    real_only: usize,
    model_only: usize,
    /// States that only the model has, by exception.
    excepted: BTreeMap<usize, usize>,
    mounts: usize,
}

fn compare(kind: &'static Kind, amount: Amount, log: &mut Transcript) -> Result<()> {
    let model: Model = kind.name.parse().map_err(anyhow::Error::msg)?;
    let only = env::var(PROGRAM).ok().map(|seed| seed.parse()).transpose()?;
    let (first, threads, amount) = match only {
        Some(seed) => (seed, 1, Amount { programs: 1, most_states: 1000, ..amount }),
        None => (1, THREADS, amount),
    };
    let (log, next, sum) = (Mutex::new(log), AtomicU64::new(first), Mutex::default());
    let work = || compare_programs(kind, model, amount, &next, &sum, &log);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
        let ended = ended.map(|ended| ended.unwrap_or_else(|_| bail!("a thread panicked")));
        ended.collect::<Result<Vec<()>>>()
    })?;
    sum.into_inner().unwrap_or_else(PoisonError::into_inner).judge(model, &log)
}

/// Compares one program after the other, until there are enough.
fn compare_programs(
    kind: &'static Kind,
    model: Model,
    amount: Amount,
    next: &AtomicU64,
    sum: &Mutex<Sum>,
    log: &Mutex<&mut Transcript>,
) -> Result<()> {
    let locked = || sum.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let program = Program::generate(number);
        let (folder, memory) = (tempfile::tempdir()?, tempfile::tempdir_in("/dev/shm")?);
        let built = memory.path().join("built");
        let states = model::states(&program.log(), model, &built, amount.most_states)?;
        let Some(states) = states else { continue };
        {
            let mut sum = locked();
            if sum.programs == amount.programs {
                return Ok(());
            }
            sum.programs += 1;
        }
        let mut real = Real::new(kind, folder.path(), memory.path())?;
        let (mut seen, mut mounts, mut news) = (BTreeSet::new(), 0, 0);
        for run in 0..amount.runs {
            let before = seen.len();
            mounts += real.run(&program, Rng::with_seed(number << 32 | run), &mut seen)?;
            if seen.len() > before {
                news = run;
            }
            let is_all = states.keys().all(|state| seen.contains(state));
            // Another run may show a state that the model lacks.
            if is_all && run > 0 || run - news == PATIENCE {
                break;
            }
        }
        let mut text = Vec::new();
        let mut sum = locked();
        sum.mounts += mounts;
        sum.add((number, &program, model), &states, &seen, &mut text)?;
        log.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)?;
    }
}

impl Sum {
    /// Prints the sum, and fails if the model and the file system differ.
    fn judge(&self, model: Model, log: &Mutex<&mut Transcript>) -> Result<()> {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, count) in &self.excepted {
            let exception = &exceptions::EXCEPTIONS[*index];
            writeln!(log, "exception: {count} states: {}; {}", exception.what, exception.source)?;
        }
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let Self { programs, states, shown, real_only, model_only, mounts, .. } = self;
        let line = format!(
            "{model}, Linux {release}: {programs} programs, {states} states of the model, {shown} shown, {model_only} not shown without an exception, {real_only} real states that the model lacks; {mounts} mounts"
        );
        writeln!(log, "{line}")?;
        ensure!(*real_only == 0 && shown * 100 >= (shown + model_only) * LEAST, "{line}");
        Ok(())
    }

    fn add(
        &mut self,
        (number, program, model): (u64, &Program, Model),
        states: &BTreeMap<Seen, Vec<Choice>>,
        seen: &BTreeSet<Seen>,
        log: &mut Vec<u8>,
    ) -> Result<()> {
        let operations = program.log();
        let mut text = Vec::new();
        for state in seen.iter().filter(|state| !states.contains_key(state)) {
            self.real_only += 1;
            writeln!(text, "  real only: {} {}", state.0, state.1)?;
        }
        for (state, ways) in states {
            self.states += 1;
            if seen.contains(state) {
                self.shown += 1;
            } else if let Some(found) = exceptions::of(&operations, model, ways) {
                writeln!(text, "  excepted: {} {} by {found:?}", state.0, state.1)?;
                for index in found {
                    *self.excepted.entry(index).or_default() += 1;
                }
            } else {
                self.model_only += 1;
                writeln!(text, "  model only: {} {} ({})", state.0, state.1, ways[0])?;
            }
        }
        writeln!(log, "{number}: {program}: model {}, real {}", states.len(), seen.len())?;
        log.write_all(&text)?;
        Ok(())
    }
}
