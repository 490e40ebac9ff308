//! The models of `lose-lines-states` and mounted file systems, compared in both directions.

mod disk;
mod exceptions;
mod kernel;
mod model;
mod program;
mod real;
mod tree;

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Range;
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
const THREADS: usize = 4;

/// Programs are given up after this many runs without a new state.
const PATIENCE: u64 = 8;

/// The least share of the model's states that must be shown, in percent of those that no exception explains.
const LEAST: usize = 95;

/// The environment variable with the seeds of some programs, to run only those: `7`, or `101..201`.
const PROGRAMS: &str = "PROGRAMS";

const KINDS: [Kind; 3] = [
    Kind {
        name: "ext4",
        size: 24 << 20,
        made: "-q -b 4096",
        mounted: "",
        package: "e2fsprogs",
        scatters: false,
    },
    Kind {
        name: "xfs",
        size: 320 << 20,
        made: "-q -f",
        mounted: "nouuid",
        package: "xfsprogs",
        scatters: false,
    },
    Kind {
        name: "btrfs",
        size: 128 << 20,
        made: "-q -f",
        mounted: "",
        package: "btrfs-progs",
        scatters: true,
    },
];

/// The amount of a comparison.
#[derive(Clone, Copy)]
struct Amount {
    programs: u64,
    /// A program with more states of the model is left out.
    most_states: usize,
    /// The most runs of a program.
    runs: u64,
    /// The programs that run at once in one file system: a mount shows them all, but a sync of one commits for the others.
    together: usize,
}

const SHORT: Amount = Amount { programs: 10, most_states: 12, runs: 40, together: 1 };
const LONG: Amount = Amount { programs: 300, most_states: 14, runs: 24, together: 4 };

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

/// A program, the states of its model, and those that were seen.
struct Case {
    number: u64,
    program: Program,
    states: BTreeMap<Seen, Vec<Choice>>,
    /// Those of them that an exception explains.
    excepted: BTreeMap<Seen, BTreeSet<usize>>,
    seen: BTreeSet<Seen>,
}

impl Case {
    fn new(
        number: u64,
        program: Program,
        states: BTreeMap<Seen, Vec<Choice>>,
        model: Model,
    ) -> Self {
        let log = program.log();
        let excepted = states
            .iter()
            .filter_map(|(state, ways)| Some((state.clone(), exceptions::of(&log, model, ways)?)));
        let excepted = excepted.collect();
        Self { number, program, states, excepted, seen: BTreeSet::new() }
    }

    /// Returns true if each state of the model was seen or needs not be.
    fn is_shown(&self) -> bool {
        let is_shown = |state| self.seen.contains(state) || self.excepted.contains_key(state);
        self.states.keys().all(is_shown)
    }
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
    let seeds = env::var(PROGRAMS).map_or(Ok(1..u64::MAX), |text| seeds(&text))?;
    let (log, next, sum) = (Mutex::new(log), AtomicU64::new(seeds.start), Mutex::default());
    let work = || compare_programs(kind, model, (amount, seeds.end), &next, &sum, &log);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
        let ended = ended.map(|ended| ended.unwrap_or_else(|_| bail!("a thread panicked")));
        ended.collect::<Result<Vec<()>>>()
    })?;
    sum.into_inner().unwrap_or_else(PoisonError::into_inner).judge(model, &log)
}

fn seeds(text: &str) -> Result<Range<u64>> {
    let Some((first, end)) = text.split_once("..") else {
        let seed = text.parse()?;
        return Ok(seed..seed + 1);
    };
    Ok(first.parse()?..end.parse()?)
}

/// Compares one program after the other, until there are enough.
fn compare_programs(
    kind: &'static Kind,
    model: Model,
    (amount, end): (Amount, u64),
    next: &AtomicU64,
    sum: &Mutex<Sum>,
    log: &Mutex<&mut Transcript>,
) -> Result<()> {
    loop {
        let (folder, memory) = (tempfile::tempdir()?, tempfile::tempdir_in("/dev/shm")?);
        let mut cases = Vec::new();
        while cases.len() < amount.together {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= end {
                break;
            }
            let program = Program::generate(number);
            let built = memory.path().join("built");
            let states = model::states(&program.log(), model, &built, amount.most_states)?;
            let Some(states) = states else { continue };
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            if sum.programs == amount.programs {
                break;
            }
            sum.programs += 1;
            cases.push(Case::new(number, program, states, model));
        }
        let Some(first) = cases.first() else { return Ok(()) };
        let seed = first.number << 32;
        let mut real = Real::new(kind, folder.path(), memory.path())?;
        let (mut mounts, mut news) = (0, 0);
        for run in 0..amount.runs {
            // Another run may show a state that the model lacks.
            let mut left: Vec<_> =
                cases.iter_mut().filter(|case| run < 2 || !case.is_shown()).collect();
            let count = |left: &[&mut Case]| left.iter().map(|case| case.seen.len()).sum::<usize>();
            let before = count(&left);
            mounts += real.run(&mut left, Rng::with_seed(seed | run))?;
            if count(&left) > before {
                news = run;
            }
            if run > 0 && cases.iter().all(Case::is_shown) || run - news == PATIENCE {
                break;
            }
        }
        let mut text = Vec::new();
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.mounts += mounts;
        for case in &cases {
            sum.add(case, &mut text)?;
        }
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

    fn add(&mut self, case: &Case, log: &mut Vec<u8>) -> Result<()> {
        let Case { number, program, states, excepted, seen } = case;
        let mut text = Vec::new();
        for state in seen.iter().filter(|state| !states.contains_key(state)) {
            self.real_only += 1;
            writeln!(text, "  real only: {} {}", state.0, state.1)?;
        }
        for (state, ways) in states {
            self.states += 1;
            if seen.contains(state) {
                self.shown += 1;
            } else if let Some(found) = excepted.get(state) {
                writeln!(text, "  excepted: {} {} by {found:?}", state.0, state.1)?;
                for index in found {
                    *self.excepted.entry(*index).or_default() += 1;
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
