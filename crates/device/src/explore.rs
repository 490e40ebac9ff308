//! Explores a driver: all seeds must pass, and without any one operation some seed must fail.

use crate::state::{State, lock};
use crate::story::Call;
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, Once};

/// The choices of a run: when caches and devices act, and how. Pass it to [`Machine::new`](crate::Machine::new).
#[derive(Clone, Debug)]
pub struct Seed {
    number: u64,
    run: Arc<Mutex<Run>>,
}

/// The settings of one run of a scenario.
#[derive(Debug)]
struct Run {
    is_explored: bool,
    /// The number of machine calls after which a driver counts as waiting forever.
    longest_wait: u32,
    left_out: Option<Call>,
    calls: Vec<Call>,
    failure: Option<String>,
    machines: Vec<Arc<Mutex<State>>>,
}

/// The number of machine calls within which a driver that makes progress ends.
const LONGEST_WAIT: u32 = 100_000;

impl Run {
    fn new(is_explored: bool, longest_wait: u32, left_out: Option<Call>) -> Self {
        let (calls, failure, machines) = Default::default();
        Self { is_explored, longest_wait, left_out, calls, failure, machines }
    }
}

impl From<u64> for Seed {
    fn from(number: u64) -> Self {
        let run = Run::new(false, LONGEST_WAIT, None);
        Self { number, run: Arc::new(Mutex::new(run)) }
    }
}

impl Seed {
    /// Returns the number of the seed.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn is_explored(&self) -> bool {
        self.run().is_explored
    }

    pub(crate) fn add(&self, machine: Arc<Mutex<State>>) {
        if self.is_explored() {
            self.run().machines.push(machine);
        }
    }

    pub(crate) fn called(&self, call: Call) {
        let mut run = self.run();
        if !run.calls.contains(&call) {
            run.calls.push(call);
        }
    }

    /// Returns true if the call is left out in this run. Nothing is left out while a driver unwinds, since it may reset
    /// its device.
    pub(crate) fn is_left_out(&self, call: Call) -> bool {
        self.run().left_out == Some(call) && !std::thread::panicking()
    }

    pub(crate) fn longest_wait(&self) -> u32 {
        self.run().longest_wait
    }

    pub(crate) fn fail(&self, message: &str) {
        if !std::thread::panicking() {
            self.run().failure.get_or_insert_with(|| message.to_owned());
        }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        lock(&self.run)
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
#[derive(Clone, Debug)]
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
        /// A description of how data were lost.
        story: String,
    },
    /// All seeds pass even without these operations: they are not needed, or the scenario does not test what they
    /// protect.
    Unneeded {
        /// The operations.
        operations: Vec<String>,
    },
    /// The driver called no operation, so nothing was tested.
    NoOperation,
}

impl Failure {
    fn counted(mut self, number: usize, all: usize) -> Self {
        if let Self::Wrong { wrong, seeds, .. } = &mut self {
            (*wrong, *seeds) = (number, all);
        }
        self
    }
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
                write!(
                    f,
                    "Let the scenario test what it protects: store to the buffer before a `release`, check its bytes after an \
                     `acquire`. Only then remove it."
                )
            }
            Self::NoOperation => f.write_str(
                "the driver called no operation of the machine, so nothing was tested; give it the machine as its `Maintain`",
            ),
        }
    }
}

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
/// drivers, or after some thousand machine calls if the driver then waits forever. Use fewer seeds if that is slow.
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
    let mut calls: Vec<Call> = Vec::new();
    let (mut wrong, mut shortest) = (0, None::<(usize, Failure)>);
    let (mut most, mut longest_wait) = (0, LONGEST_WAIT);
    for seed in seeds.clone() {
        let outcome = run(seed, longest_wait, None, &scenario);
        let new = outcome.calls.into_iter().filter(|call| !calls.contains(call));
        calls.extend(new.collect::<Vec<_>>());
        most = most.max(outcome.waited);
        if let Some((events, failure)) = outcome.wrong {
            wrong += 1;
            if shortest.as_ref().is_none_or(|(fewest, _)| events < *fewest) {
                shortest = Some((events, failure));
            }
            longest_wait = longest_wait.min(LONGEST_WAIT / 10);
        }
    }
    if let Some((_, failure)) = shortest {
        return Err(failure.counted(wrong, seeds.count()));
    }
    // A driver that needs many times the calls of the longest passing run waits forever.
    let longest_wait = most.saturating_mul(4).saturating_add(1_000);
    let (mut needed, mut operations) = (Vec::new(), Vec::new());
    for call in calls {
        let is_wrong = |seed: &u64| run(*seed, longest_wait, Some(call), &scenario).wrong.is_some();
        match seeds.clone().find(is_wrong) {
            Some(seed) => needed.push((call.to_string(), seed)),
            None => operations.push(call.to_string()),
        }
    }
    match (needed.is_empty(), operations.is_empty()) {
        (true, true) => Err(Failure::NoOperation),
        (_, false) => Err(Failure::Unneeded { operations }),
        (false, true) => Ok(Explored { needed }),
    }
}

struct Outcome {
    calls: Vec<Call>,
    /// The number of machine calls.
    waited: u32,
    wrong: Option<(usize, Failure)>,
}

thread_local! {
    /// The message of the panic that ended a run of this thread.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs the scenario once. It is called through its trait object, so that it stays a separate function, which delimits
/// the driver's part of a backtrace.
fn run(number: u64, longest_wait: u32, left_out: Option<Call>, scenario: &dyn Fn(Seed)) -> Outcome {
    keep_panics_quiet();
    let run = Run::new(true, longest_wait, left_out);
    let seed = Seed { number, run: Arc::new(Mutex::new(run)) };
    MESSAGE.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(|| scenario(seed.clone())));
    let panicked = MESSAGE.take();
    let run = std::mem::replace(&mut *seed.run(), Run::new(true, 0, None));
    let message = run.failure.or(result.is_err().then_some(panicked.unwrap_or_default()));
    let states: Vec<_> = run.machines.iter().map(|state| lock(state)).collect();
    let waited = states.iter().map(|state| state.waited).max().unwrap_or(0);
    let wrong = message.map(|message| {
        let (stories, events): (Vec<_>, Vec<_>) = states.iter().map(|state| state.story()).unzip();
        let story = stories.concat();
        (events.iter().sum(), Failure::Wrong { seed: number, wrong: 1, seeds: 1, message, story })
    });
    Outcome { calls: run.calls, waited, wrong }
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
