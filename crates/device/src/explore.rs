//! Explores a driver: all seeds must pass, and without any one operation some seed must fail.

use crate::state::{State, lock};
use crate::story::{Call, Trial, tell};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Once, mpsc};
use std::time::Duration;

/// The choices of a run: when caches and devices act, and how. Pass it to [`Machine::new`](crate::Machine::new).
#[derive(Clone, Debug)]
pub struct Seed {
    number: u64,
    run: Arc<Mutex<Run>>,
}

/// The settings of one run of a scenario, and what it did.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) is_explored: bool,
    /// The number of machine calls after which a driver counts as waiting forever.
    pub(crate) longest_wait: u32,
    left_out: Option<Call>,
    pub(crate) tried: Vec<Trial>,
    calls: Vec<Call>,
    failure: Option<String>,
    /// Counts the calls of machines, and runs, for the [`Watch`].
    pub(crate) time: Arc<AtomicU64>,
    pub(crate) machines: Vec<Arc<Mutex<State>>>,
}

/// The number of machine calls within which a driver that makes progress ends.
const LONGEST_WAIT: u32 = 100_000;

/// The time without a call of the machine after which a driver counts as waiting forever.
const SILENCE: Duration = Duration::from_secs(5);

/// The number of sets of remedies that are tried.
const TRIALS: usize = 40;

impl From<u64> for Seed {
    fn from(number: u64) -> Self {
        let run = Run { longest_wait: LONGEST_WAIT, ..Run::default() };
        Self { number, run: Arc::new(Mutex::new(run)) }
    }
}

impl Seed {
    /// Returns the number of the seed.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn run(&self) -> MutexGuard<'_, Run> {
        lock(&self.run)
    }
}

impl Run {
    /// Records a call. Returns true if it is left out in this run. Nothing is left out while a driver unwinds, since it may
    /// reset its device.
    pub(crate) fn leaves_out(&mut self, call: Call) -> bool {
        if !self.calls.contains(&call) {
            self.calls.push(call);
        }
        self.left_out == Some(call) && !std::thread::panicking()
    }

    pub(crate) fn fail(&mut self, message: &str) {
        if !std::thread::panicking() {
            self.failure.get_or_insert_with(|| message.to_owned());
        }
    }
}

/// The result of a scenario that passed: its operations, all of which are needed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explored {
    /// The operations, each with the first seed that failed without it.
    pub needed: Vec<(String, u64)>,
}

/// The failure of an exploration.
#[derive(Clone)]
#[non_exhaustive]
pub enum Failure {
    /// Runs failed.
    Wrong {
        /// The seed of the shortest failing run.
        seed: u64,
        /// The number of seeds that failed.
        wrong: usize,
        /// The number of seeds.
        seeds: usize,
        /// The message of the scenario or the machine.
        message: String,
        /// A description of how data were lost. It advises a call only if all seeds pass with it.
        story: String,
    },
    /// All seeds pass even without these operations: they are not needed, or the scenario does not test what they
    /// protect.
    Unneeded {
        /// The operations, each with what would make it needed.
        operations: Vec<String>,
    },
    /// The driver called no operation, so nothing was tested.
    NoOperation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong { seed, wrong, seeds, message, story } => {
                writeln!(f, "{wrong} of {seeds} seeds fail. The shortest failing run is that of seed {seed}: {message}")?;
                f.write_str(story)
            }
            Self::Unneeded { operations } => {
                writeln!(f, "all seeds pass even without one of these operations:")?;
                operations.iter().try_for_each(|operation| writeln!(f, "    {operation}"))?;
                f.write_str("Let the scenario exercise them. Remove an operation only if nothing can make it needed.")
            }
            Self::NoOperation => f.write_str(
                "the driver called no operation of the machine, so nothing was tested; give it the machine as its `Maintain`",
            ),
        }
    }
}

cachemaint::debug_is_display!(Failure);

impl std::error::Error for Failure {}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "all seeds pass; the first seed to fail without one operation:")?;
        self.needed
            .iter()
            .try_for_each(|(operation, seed)| writeln!(f, "{seed:>6}  without the {operation}"))
    }
}

/// Runs the scenario with each seed, and then without each operation of the driver in turn. A scenario fails by
/// panicking.
///
/// An operation is identified by its line and its caller. Without it, seeds run until one fails: at once in most
/// drivers, or after some thousand machine calls if the driver then waits forever. Use fewer seeds if that is slow. A
/// driver that waits and calls no machine is ended with the process after 5 seconds.
///
/// # Panics
/// If a run fails, if an operation is not needed, or if there was none.
#[track_caller]
#[expect(clippy::panic, reason = "a test fails by a panic")]
pub fn explore(seeds: Range<u64>, scenario: impl Fn(Seed)) -> Explored {
    match try_explore(seeds, scenario) {
        Ok(explored) => explored,
        Err(failure) => panic!("{failure}"),
    }
}

/// Does [`explore`], and returns its failure.
///
/// # Errors
/// If a run fails, if an operation is not needed, or if there was none.
pub fn try_explore(seeds: Range<u64>, scenario: impl Fn(Seed)) -> Result<Explored, Failure> {
    let watch = Watch::start();
    // Not inlined into a function of this crate: without debugging information, its calls would be taken for ours.
    let driver: &dyn Fn(Seed) = std::hint::black_box(&scenario);
    let scenario = |seed: Seed| {
        seed.run().time = Arc::clone(&watch.time);
        watch.time.fetch_add(1, Relaxed);
        driver(seed);
    };
    let mut calls: Vec<Call> = Vec::new();
    let (mut wrong, mut shortest) = (Vec::new(), None::<Wrong>);
    let (mut most, mut longest_wait) = (0, LONGEST_WAIT);
    for seed in seeds.clone() {
        let outcome = run(seed, Run { longest_wait, ..Run::default() }, &scenario);
        let new = outcome.calls.into_iter().filter(|call| !calls.contains(call));
        calls.extend(new.collect::<Vec<_>>());
        if outcome.wrong.is_none() {
            most = most.max(outcome.waited);
        }
        if let Some(failed) = outcome.wrong {
            wrong.push(seed);
            if shortest.as_ref().is_none_or(|shortest| failed.events < shortest.events) {
                shortest = Some(failed);
            }
            longest_wait = longest_wait.min(LONGEST_WAIT / 10);
        }
    }
    // A driver that needs many times the calls of the longest passing run waits forever.
    let enough = most.saturating_mul(4).saturating_add(1_000);
    if let Some(Wrong { seed, message, machines, suggested, .. }) = shortest {
        let longest_wait = if most > 0 { enough } else { longest_wait };
        let count = wrong.len();
        wrong.sort_by_key(|other| *other != seed); // the told one comes first
        wrong.extend(seeds.clone().filter(|seed| !wrong.contains(seed)).collect::<Vec<_>>());
        let helpful = help(suggested, &|tried| {
            let setup = || Run { longest_wait, tried: tried.to_vec(), ..Run::default() };
            wrong.iter().find_map(|seed| run(*seed, setup(), &scenario).wrong)
        });
        let stories = machines.iter().map(|state| tell(&lock(state).memory, &helpful));
        let none = if calls.is_empty() { NO_CALL } else { "" };
        let story = stories.chain([none.to_owned()]).collect();
        return Err(Failure::Wrong { seed, wrong: count, seeds: wrong.len(), message, story });
    }
    let (mut needed, mut operations) = (Vec::new(), Vec::new());
    let names: Vec<_> = calls.iter().map(ToString::to_string).collect();
    for (n, (call, mut name)) in calls.iter().zip(names.clone()).enumerate() {
        let equal = |names: &[String]| names.iter().filter(|other| **other == name).count();
        if equal(&names) > 1 {
            let (nth, all) = (equal(&names[..=n]), equal(&names));
            name = format!("{name} (number {nth} of {all} such calls, by first use)");
        }
        let setup = || Run { longest_wait: enough, left_out: Some(*call), ..Run::default() };
        match seeds.clone().find(|seed| run(*seed, setup(), &scenario).wrong.is_some()) {
            Some(seed) => needed.push((name, seed)),
            None => operations.push(format!("{name}: {}", call.operation.exercise())),
        }
    }
    match (needed.is_empty(), operations.is_empty()) {
        (true, true) => Err(Failure::NoOperation),
        (_, false) => Err(Failure::Unneeded { operations }),
        (false, true) => Ok(Explored { needed }),
    }
}

const NO_CALL: &str = "No call has reached the machine. If the driver makes calls, its cache is not the machine, and they \
                       did not reach the machine.\n";

/// Returns a smallest set of remedies with which no seed fails, of those that failures suggest; or none. `fails` returns
/// the first failure with a set.
fn help(suggested: Vec<Trial>, fails: &dyn Fn(&[Trial]) -> Option<Wrong>) -> Vec<Trial> {
    let mut sets = VecDeque::from([(Vec::new(), suggested)]);
    let mut trials = 0;
    while let Some((set, suggested)) = sets.pop_front() {
        for trial in suggested {
            if set.contains(&trial) || trials == TRIALS {
                continue;
            }
            trials += 1;
            let mut set = [&set[..], &[trial]].concat();
            if let Some(wrong) = fails(&set) {
                sets.push_back((set, wrong.suggested));
                continue;
            }
            for one in set.clone() {
                let without: Vec<_> = set.iter().copied().filter(|other| *other != one).collect();
                if fails(&without).is_none() {
                    set = without;
                }
            }
            return set;
        }
    }
    Vec::new()
}

/// Ends the process while a driver waits in a loop that calls no machine: nothing else can end it.
struct Watch {
    time: Arc<AtomicU64>,
    _ends: mpsc::Sender<()>,
}

impl Watch {
    #[expect(clippy::print_stderr, reason = "the process ends")]
    fn start() -> Self {
        let time = Arc::new(AtomicU64::new(0));
        let (ends, has_ended) = mpsc::channel();
        let watched = Arc::clone(&time);
        let watch = move || {
            let mut before = 0;
            while has_ended.recv_timeout(SILENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let now = watched.load(Relaxed);
                if now == before {
                    eprintln!("{NO_TIME}");
                    std::process::abort();
                }
                before = now;
            }
        };
        // Without a thread, such a driver is not noticed. Miri takes longer for a call.
        if !cfg!(miri) {
            drop(std::thread::Builder::new().spawn(watch));
        }
        Self { time, _ends: ends }
    }
}

const NO_TIME: &str = "the driver has waited for 5 seconds without a call of the machine. Time passes only in these calls, so \
                       nothing can happen: call `step` of the machine in the loop that waits";

struct Outcome {
    calls: Vec<Call>,
    /// The number of machine calls.
    waited: u32,
    wrong: Option<Wrong>,
}

/// A run that failed.
struct Wrong {
    seed: u64,
    message: String,
    events: usize,
    suggested: Vec<Trial>,
    machines: Vec<Arc<Mutex<State>>>,
}

thread_local! {
    /// The message of the panic that ended a run of this thread.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs the scenario once. It is called through its trait object, so that it stays a separate function, which delimits
/// the driver's part of a backtrace.
fn run(number: u64, setup: Run, scenario: &dyn Fn(Seed)) -> Outcome {
    keep_panics_quiet();
    let run = Run { is_explored: true, ..setup };
    let seed = Seed { number, run: Arc::new(Mutex::new(run)) };
    MESSAGE.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(|| scenario(seed.clone())));
    let panicked = MESSAGE.take();
    let Run { calls, failure, machines, .. } = std::mem::take(&mut *seed.run());
    let message = failure
        .or(result.is_err().then_some(panicked.unwrap_or_default()))
        .or_else(|| machines.iter().find_map(|state| lock(state).lost_neighbour()));
    let waited = machines.iter().map(|state| lock(state).waited).max().unwrap_or(0);
    let wrong = message.map(|message| {
        let suggestions = machines.iter().map(|state| lock(state).suggestions());
        let (events, suggested): (Vec<_>, Vec<_>) = suggestions.unzip();
        let (events, suggested) = (events.iter().sum(), suggested.concat());
        Wrong { seed: number, message, events, suggested, machines }
    });
    Outcome { calls, waited, wrong }
}

/// Keeps the panic messages of runs from standard error, since hundreds of runs fail as they should.
#[expect(clippy::print_stderr, reason = "as the hook does that is there by default")]
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let first = MESSAGE.with_borrow(Clone::clone);
            if first.as_ref().is_some_and(String::is_empty) {
                MESSAGE.set(Some(info.to_string()));
            } else {
                // A second panic, while the first unwinds, ends the process: both are shown.
                if let Some(first) = first {
                    eprintln!("{first}");
                }
                before(info);
            }
        }));
    });
}
