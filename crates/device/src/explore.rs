//! All seeds pass, and without any one operation some seed fails.

use crate::state::State;
use crate::story::Call;
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

/// The choices of a run: what caches and devices do when. Give it to [`Machine::new`](crate::Machine::new).
#[derive(Clone, Debug)]
pub struct Seed {
    number: u64,
    run: Arc<Mutex<Run>>,
}

/// What one run of a scenario does.
#[derive(Debug, Default)]
struct Run {
    is_explored: bool,
    left_out: Option<Call>,
    calls: Vec<Call>,
    failure: Option<String>,
    machines: Vec<Arc<Mutex<State>>>,
}

impl From<u64> for Seed {
    fn from(number: u64) -> Self {
        Self { number, run: Arc::default() }
    }
}

impl Seed {
    /// Returns its number.
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

    pub(crate) fn is_left_out(&self, call: Call) -> bool {
        self.run().left_out == Some(call)
    }

    pub(crate) fn fail(&self, message: &str) {
        self.run().failure.get_or_insert_with(|| message.to_owned());
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scenario that passed, and its operations, each of which is needed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explored {
    /// The operations, each with the first seed that failed without it.
    pub needed: Vec<(String, u64)>,
}

/// How an exploration failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Runs went wrong.
    Wrong {
        /// The seed of the shortest wrong run.
        seed: u64,
        /// The number of seeds that went wrong.
        wrong: usize,
        /// The number of seeds.
        seeds: usize,
        /// What the scenario or the machine said.
        message: String,
        /// How data were lost, in words.
        story: String,
    },
    /// All seeds pass, also without these operations: they are not needed, or the scenario does not test what they protect.
    Unneeded {
        /// The operations.
        operations: Vec<String>,
    },
    /// The driver called no operation, so nothing was tested.
    NoOperation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong { seed, wrong, seeds, message, story } => {
                writeln!(f, "{wrong} of {seeds} seeds go wrong. The shortest run is that of seed {seed}: {message}")?;
                f.write_str(story)
            }
            Self::Unneeded { operations } => {
                writeln!(f, "all seeds pass, also without one of these operations:")?;
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
        writeln!(f, "all seeds pass; without one operation the first to fail is")?;
        self.needed
            .iter()
            .try_for_each(|(operation, seed)| writeln!(f, "{seed:>6}  without the {operation}"))
    }
}

/// Runs the scenario with each seed, and then without each operation of the driver in turn. The scenario fails by a panic.
///
/// An operation is told by its line and its caller. Without it, seeds run until one fails: at once in most drivers, and after
/// some thousand calls of the machine where the driver then waits for ever. Take fewer seeds if that is slow.
///
/// # Panics
/// If a run goes wrong, if nobody misses an operation, or if there was none.
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
/// If a run goes wrong, if nobody misses an operation, or if there was none.
pub fn try_explore(seeds: Range<u64>, scenario: impl Fn(Seed)) -> Result<Explored, Failure> {
    let mut calls: Vec<Call> = Vec::new();
    let (mut wrong, mut shortest) = (0, None::<(usize, Failure)>);
    for seed in seeds.clone() {
        let outcome = run(seed, None, &scenario);
        let new = outcome.calls.into_iter().filter(|call| !calls.contains(call));
        calls.extend(new.collect::<Vec<_>>());
        if let Some((events, mut failure)) = outcome.wrong {
            wrong += 1;
            if let Failure::Wrong { seeds: all, .. } = &mut failure {
                *all = seeds.clone().count();
            }
            if shortest.as_ref().is_none_or(|(fewest, _)| events < *fewest) {
                shortest = Some((events, failure));
            }
        }
    }
    if let Some((_, mut failure)) = shortest {
        if let Failure::Wrong { wrong: number, .. } = &mut failure {
            *number = wrong;
        }
        return Err(failure);
    }
    let (mut needed, mut operations) = (Vec::new(), Vec::new());
    for call in calls {
        match seeds.clone().find(|seed| run(*seed, Some(call), &scenario).wrong.is_some()) {
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
    wrong: Option<(usize, Failure)>,
}

thread_local! {
    /// The message of the panic that ended a run of this thread.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn run(number: u64, left_out: Option<Call>, scenario: &impl Fn(Seed)) -> Outcome {
    keep_panics_quiet();
    let seed = Seed {
        number,
        run: Arc::new(Mutex::new(Run { is_explored: true, left_out, ..Run::default() })),
    };
    MESSAGE.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(|| scenario(seed.clone())));
    let panicked = MESSAGE.take();
    let Run { calls, failure, machines, .. } = std::mem::take(&mut *seed.run());
    let message = failure.or(result.is_err().then_some(panicked.unwrap_or_default()));
    let wrong = message.map(|message| {
        let stories = machines
            .iter()
            .map(|state| state.lock().unwrap_or_else(PoisonError::into_inner).story());
        let (stories, events): (Vec<_>, Vec<_>) = stories.unzip();
        let events = events.iter().sum();
        let failure =
            Failure::Wrong { seed: number, wrong: 1, seeds: 1, message, story: stories.concat() };
        (events, failure)
    });
    Outcome { calls, wrong }
}

/// Keeps the messages of runs, of which hundreds go wrong as they should, from standard error.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if MESSAGE.with_borrow(Option::is_some) {
                MESSAGE.set(Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
}
