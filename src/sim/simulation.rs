//! A simulation: a workload, every crash of it that matters, and recovery after each.

use super::choices::{Choices, Way};
use super::exploration::Exploration;
use super::failure::{Crash, Failure};
use super::history::History;
use super::image::{Image, Layer};
use super::medium::{Ran, SimMedium, Snapshot};
use super::model::{Durable, Model, WORD};
use super::mutation::Watch;
use super::points::{Point, points};
use super::replay::{Replay, ReplayedCrash};
use super::schedule::Turns;
use super::violation::{Violation, quietly};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, PoisonError};

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effort {
    /// Every state that recovery can tell apart, at every crash that can differ.
    Exhaustive,
    /// States in which all words that recovery reads are the latest but at most so many, and states in which
    /// all are the oldest but at most so many: the one store that is lost, and the one that came first. Not
    /// exhaustive.
    Deviations(u32),
    /// So many states at random after each crash. Not exhaustive; the same seed gives the same states.
    Random {
        /// States for each crash.
        states: u32,
        /// Where the random numbers start.
        seed: u64,
    },
}

/// What the outside world has learned in a run, in order: "record 3 is acknowledged", "the write of record
/// 4 has begun". A crash comes before or after each of them, and recovery is judged by those that came
/// before.
pub struct Notes<'m, N> {
    medium: &'m SimMedium,
    notes: Mutex<Vec<N>>,
}

impl<N> Notes<'_, N> {
    /// The outside world learns something, here and now. This is no operation on the medium: it persists
    /// and orders nothing.
    #[track_caller]
    pub fn add(&self, note: N) {
        self.medium.note(|| self.list().push(note));
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<N>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N> fmt::Debug for Notes<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").field("count", &self.list().len()).finish_non_exhaustive()
    }
}

/// A simulation of crashes under a [`Model`].
///
/// ```
/// use cachemaint::medium::Medium;
/// use cachemaint::sim::{Model, SimMedium, Simulation, Violation};
/// use core::sync::atomic::Ordering::Relaxed;
///
/// // Two accounts in lines of their own: 10 are moved, and the sum must stay 100.
/// let outcome = Simulation::new(Model::x86(), 128)
///     .prepared(|medium| medium.store(0, 100, Relaxed))
///     .explore(
///         |medium, done| {
///             medium.store(64, 10, Relaxed);
///             medium.persist(64..72).unwrap();
///             medium.store(0, 90, Relaxed);
///             medium.persist(0..8).unwrap();
///             done.add("moved");
///         },
///         |medium: &SimMedium, _done: &[&str]| {
///             let sum = medium.load(0, Relaxed) + medium.load(64, Relaxed);
///             if sum == 100 { Ok(()) } else { Err(Violation::broken(format!("the sum is {sum}"))) }
///         },
///     );
/// let failure = outcome.failure().expect("a crash between the two stores");
/// assert!(failure.to_string().contains("the sum is 110"));
/// ```
#[derive(Clone, Debug)]
pub struct Simulation {
    model: Model,
    beginning: Arc<[u64]>,
    effort: Effort,
    in_recovery: u32,
    preemptions: u32,
    recoveries: u64,
    operations: u64,
    watch: Watch,
}

impl Simulation {
    /// A medium of so many bytes, rounded up to words, all zeros and persistent. Every state is explored,
    /// recovery is itself cut by one crash, threads are preempted twice at most.
    #[must_use]
    pub fn new(model: Model, bytes: u64) -> Self {
        Self {
            model,
            beginning: vec![0; bytes.div_ceil(WORD) as usize].into(),
            effort: Effort::Exhaustive,
            in_recovery: 1,
            preemptions: 2,
            recoveries: 10_000_000,
            operations: 1_000_000,
            watch: Watch::default(),
        }
    }

    /// The same after something was done to the medium and all of it has become persistent: no crash comes
    /// there.
    #[must_use]
    pub fn prepared(self, prepare: impl FnOnce(&SimMedium)) -> Self {
        let medium = self.medium();
        prepare(&medium);
        let Ran { history, image, .. } = medium.into_ran();
        let cut = history.now();
        let image = image.under(Layer::new(history, cut));
        let words = (0..self.beginning.len() as u64).map(|word| image.latest(word * WORD));
        Self { beginning: words.collect(), ..self }
    }

    /// How much is tried; at first all.
    #[must_use]
    pub fn effort(self, effort: Effort) -> Self {
        Self { effort, ..self }
    }

    /// How many times recovery is itself cut by a crash; at first once. Each costs as many recoveries as the
    /// recovery before it has moments of a crash.
    #[must_use]
    pub fn crashes_in_recovery(self, times: u32) -> Self {
        Self { in_recovery: times, ..self }
    }

    /// How often a thread of [`run_threads`](SimMedium::run_threads) is made to let another one go on; at
    /// first twice.
    #[must_use]
    pub fn preemptions(self, times: u32) -> Self {
        Self { preemptions: times, ..self }
    }

    /// The medium as a workload gets it, for tests without a crash.
    #[must_use]
    pub fn medium(&self) -> SimMedium {
        self.running(Turns::new(Choices::new(Way::All), 0))
    }

    /// The exploration ends after so many recoveries, and says then that it was not exhaustive. At first ten
    /// million.
    #[must_use]
    pub fn at_most(self, recoveries: u64) -> Self {
        Self { recoveries, ..self }
    }

    /// So many operations a workload or a recovery may make before it is taken for endless; at first a
    /// million.
    #[must_use]
    pub fn operations(self, operations: u64) -> Self {
        Self { operations, ..self }
    }

    pub(super) fn watched(self, watch: Watch) -> Self {
        Self { watch, ..self }
    }

    /// Runs the workload, and for each crash that can differ from another one and each state that it may
    /// leave and recovery can tell apart, runs recovery: it opens what it finds and judges it by what the
    /// outside world had learned. Stops at the first failure, in the order of history.
    ///
    /// Both must do the same each time they get the same answers from the medium: no clock, no random
    /// numbers, no state that is kept from run to run.
    pub fn explore<N: fmt::Debug>(
        &self,
        workload: impl Fn(&SimMedium, &Notes<'_, N>),
        recovery: impl Fn(&SimMedium, &[N]) -> Result<(), Violation>,
    ) -> Exploration {
        let mut found = Exploration::new(self.model, self.effort);
        let mut schedule = Choices::new(Way::All);
        // Of the next schedule, so many events are those of the one before.
        let mut known = 0;
        loop {
            let Run { ran, notes, panic } = self.run(&workload, schedule);
            found.schedules += 1;
            let Ran { history, image, turns, waste, .. } = ran;
            found.waste.add(&waste);
            let (made, events) =
                turns.map_or_else(|| (Choices::new(Way::All), Vec::new()), Turns::into_choices);
            let explorer = Explorer {
                simulation: self,
                recovery: &recovery,
                notes: &notes,
                schedule: made.taken(),
            };
            let differs = made.differs().then(Violation::workload_differs);
            found.failure = match panic.or(differs) {
                Some(violation) => Some(explorer.in_workload(violation, &image, &history)),
                None => explorer.crashes(&mut found, &image, &history, known),
            };
            if found.failure.is_some() || !found.is_exhaustive_so_far {
                return found;
            }
            schedule = made;
            match schedule.advance() {
                Some(kept) => known = events.get(kept).copied().unwrap_or(0),
                None => return found,
            }
        }
    }

    /// Runs the workload once more, with the crash and the state of a failure, and returns what recovery
    /// makes of it.
    ///
    /// # Errors
    /// The violation, if recovery or its judgement fails again.
    pub fn replay<N: fmt::Debug>(
        &self,
        replay: &Replay,
        workload: impl Fn(&SimMedium, &Notes<'_, N>),
        recovery: impl Fn(&SimMedium, &[N]) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let Run { ran, notes, panic } = self.run(&workload, Choices::beginning(&replay.schedule));
        if let Some(violation) = panic {
            return Err(violation);
        }
        let (mut history, mut image) = (ran.history, ran.image);
        let mut verdict = Ok(());
        let mut left = replay.crashes.as_slice();
        while let [crash, rest @ ..] = left {
            left = rest;
            let cut = crash.cut.min(history.now());
            let notes = &notes[..crash.notes.min(notes.len())];
            let layered = image.under(Layer::new(Arc::clone(&history), cut));
            let medium =
                self.recovering(layered, Choices::beginning(&crash.taken)).with_snapshots();
            verdict = judge(&recovery, &medium, notes);
            let ran = medium.into_ran();
            let at = rest.first().map_or(0, |next| next.cut);
            image =
                at_event(&ran.snapshots, at).map_or(ran.image, |snapshot| snapshot.image.clone());
            history = ran.history;
        }
        verdict
    }

    /// Runs the workload in an order.
    fn run<N>(&self, workload: &impl Fn(&SimMedium, &Notes<'_, N>), schedule: Choices) -> Run<N> {
        let medium = self.running(Turns::new(schedule, self.preemptions));
        let notes = Notes { medium: &medium, notes: Mutex::new(Vec::new()) };
        let panic = quietly(|| workload(&medium, &notes)).err();
        let notes = notes.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Run { ran: medium.into_ran(), notes, panic }
    }

    fn running(&self, turns: Turns) -> SimMedium {
        let image = Image::new(Arc::clone(&self.beginning));
        SimMedium::new(self.model, image, Choices::new(Way::All), self.operations)
            .with_turns(turns)
            .watched(self.watch.clone())
    }

    fn recovering(&self, image: Image, choices: Choices) -> SimMedium {
        SimMedium::new(self.model, image, choices, self.operations).watched(self.watch.clone())
    }
}

/// A run of the workload.
struct Run<N> {
    ran: Ran,
    notes: Vec<N>,
    panic: Option<Violation>,
}

/// Runs recovery; a panic is a violation too.
fn judge<N>(
    recovery: &impl Fn(&SimMedium, &[N]) -> Result<(), Violation>,
    medium: &SimMedium,
    notes: &[N],
) -> Result<(), Violation> {
    quietly(|| recovery(medium, notes)).unwrap_or_else(Err)
}

/// What was decided when an event happened.
fn at_event(snapshots: &[Snapshot], event: u32) -> Option<&Snapshot> {
    snapshots.iter().rev().find(|snapshot| snapshot.event <= event)
}

/// Explores the crashes of one run.
struct Explorer<'a, N, R> {
    simulation: &'a Simulation,
    recovery: &'a R,
    notes: &'a [N],
    schedule: Vec<u32>,
}

/// A crash and those before it.
#[derive(Clone)]
struct Path {
    crashes: Vec<ReplayedCrash>,
}

impl<N: fmt::Debug, R: Fn(&SimMedium, &[N]) -> Result<(), Violation>> Explorer<'_, N, R> {
    /// All crashes of the workload but those before the event `known`.
    fn crashes(
        &self,
        found: &mut Exploration,
        image: &Image,
        history: &Arc<History>,
        known: u32,
    ) -> Option<Box<Failure>> {
        let path = Path { crashes: Vec::new() };
        // Where stores are buffered, later notes matter for an earlier crash.
        let is_buffered = self.simulation.model.durable == Durable::Visible;
        let is_new = |point: &Point| known == 0 || is_buffered || point.cut > known;
        let crash = |found: &mut Exploration, point: Point, in_recovery| {
            let image = image.clone().under(Layer::new(Arc::clone(history), point.cut));
            self.crash(found, &image, point, &path, in_recovery)
        };
        let mut new = points(history).into_iter().filter(is_new);
        let failure = new.find_map(|point| crash(found, point, self.simulation.in_recovery))?;
        if failure.crashes() <= 1 {
            return Some(failure);
        }
        // One that takes a single crash is easier to understand, wherever it is.
        let simpler = points(history).into_iter().find_map(|point| crash(found, point, 0));
        Some(simpler.unwrap_or(failure))
    }

    /// The states that a crash may leave, as far as the effort goes.
    fn crash(
        &self,
        found: &mut Exploration,
        image: &Image,
        point: Point,
        path: &Path,
        in_recovery: u32,
    ) -> Option<Box<Failure>> {
        found.crashes += 1;
        let ways = self.ways(found.crashes);
        ways.into_iter().find_map(|way| self.states(found, image, point, path, in_recovery, way))
    }

    /// The same in one way.
    fn states(
        &self,
        found: &mut Exploration,
        image: &Image,
        point: Point,
        path: &Path,
        in_recovery: u32,
        way: Way,
    ) -> Option<Box<Failure>> {
        let mut choices = Choices::new(way);
        let mut tries = self.tries();
        // So many choices are those of the run before.
        let mut kept = None;
        loop {
            if found.recoveries >= self.simulation.recoveries {
                found.is_exhaustive_so_far = false;
                return None;
            }
            let (ran, verdict) = self.recover(image, point, choices, in_recovery > 0);
            found.count(&ran.image);
            if let Err(violation) = verdict {
                return Some(self.failure(image, point, path, ran, violation));
            }
            if in_recovery > 0 {
                let failure = self.nested(found, &ran, point, path, in_recovery - 1, kept);
                if failure.is_some() {
                    return failure;
                }
            }
            choices = ran.choices;
            tries -= 1;
            kept = Some(choices.advance().filter(|_| tries > 0)?);
        }
    }

    /// Every crash of a recovery that the run before, of which it keeps choices, did not have.
    fn nested(
        &self,
        found: &mut Exploration,
        ran: &Ran,
        point: Point,
        path: &Path,
        in_recovery: u32,
        kept: Option<usize>,
    ) -> Option<Box<Failure>> {
        // Points of the recovery's own history; those without a store of recovery are the crash before.
        ran.history.stored().next()?;
        let history = Arc::clone(&ran.history);
        let path = path.and(point, ran.choices.taken());
        points(&history).into_iter().find_map(|nested| {
            let snapshot = at_event(&ran.snapshots, nested.cut)?;
            if kept.is_some_and(|kept| snapshot.depth <= kept) {
                return None;
            }
            let image = snapshot.image.clone().under(Layer::new(Arc::clone(&history), nested.cut));
            let nested = Point { notes: point.notes, ..nested };
            self.crash(found, &image, nested, &path, in_recovery)
        })
    }

    fn recover(
        &self,
        image: &Image,
        point: Point,
        choices: Choices,
        with_snapshots: bool,
    ) -> (Ran, Result<(), Violation>) {
        let medium = self.simulation.recovering(image.clone(), choices);
        let medium = if with_snapshots { medium.with_snapshots() } else { medium };
        let verdict = judge(self.recovery, &medium, &self.notes[..point.notes]);
        let ran = medium.into_ran();
        let verdict = if ran.choices.differs() { Err(Violation::differs()) } else { verdict };
        (ran, verdict)
    }

    fn ways(&self, crashes: u64) -> Vec<Way> {
        match self.simulation.effort {
            Effort::Exhaustive => vec![Way::All],
            Effort::Deviations(most) => vec![Way::NearFirst(most), Way::NearLast(most)],
            Effort::Random { seed, .. } => {
                vec![Way::Random(fastrand::Rng::with_seed(seed ^ crashes))]
            }
        }
    }

    fn tries(&self) -> u64 {
        match self.simulation.effort {
            Effort::Random { states, .. } => u64::from(states.max(1)),
            Effort::Exhaustive | Effort::Deviations(_) => u64::MAX,
        }
    }

    /// A failure, with as few words other than the latest as can be had by trying.
    fn failure(
        &self,
        image: &Image,
        point: Point,
        path: &Path,
        ran: Ran,
        violation: Violation,
    ) -> Box<Failure> {
        let (mut ran, mut violation) = (ran, violation);
        let mut place = 0;
        while place < ran.choices.taken().len() {
            let mut taken = ran.choices.taken();
            if taken[place] > 0 {
                taken[place] = 0;
                let (tried, verdict) =
                    self.recover(image, point, Choices::beginning(&taken), false);
                if let Err(again) = verdict
                    && deviations(&tried.choices.taken()) < deviations(&ran.choices.taken())
                {
                    (ran, violation) = (tried, again);
                }
            }
            place += 1;
        }
        let path = path.and(point, ran.choices.taken());
        let replay = Replay { schedule: self.schedule.clone(), crashes: path.crashes };
        let notes = self.notes.iter().map(|note| format!("{note:?}")).collect();
        let crashes = ran.image.layers.iter().map(|layer| Crash::new(layer.clone())).collect();
        Box::new(Failure::new(
            self.simulation.model,
            violation,
            crashes,
            notes,
            point.notes,
            replay,
        ))
    }

    /// The workload itself has failed, without a crash.
    fn in_workload(
        &self,
        violation: Violation,
        image: &Image,
        history: &Arc<History>,
    ) -> Box<Failure> {
        let layer = Layer::new(Arc::clone(history), history.now());
        debug_assert!(image.layers.is_empty(), "a workload runs before any crash");
        let replay = Replay { schedule: self.schedule.clone(), crashes: Vec::new() };
        let notes: Vec<_> = self.notes.iter().map(|note| format!("{note:?}")).collect();
        let count = notes.len();
        let crashes = vec![Crash::new(layer)];
        Box::new(Failure::new(
            self.simulation.model,
            violation.in_workload(),
            crashes,
            notes,
            count,
            replay,
        ))
    }
}

/// How many choices are other than the first.
fn deviations(taken: &[u32]) -> usize {
    taken.iter().filter(|taken| **taken > 0).count()
}

impl Path {
    /// The path with one more crash, and what was then found.
    fn and(&self, point: Point, taken: Vec<u32>) -> Self {
        let crash = ReplayedCrash { cut: point.cut, notes: point.notes, taken };
        Self { crashes: self.crashes.iter().cloned().chain([crash]).collect() }
    }
}
