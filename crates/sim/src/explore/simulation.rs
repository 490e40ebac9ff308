//! A simulation: a workload, every crash of it that can matter, and recovery after each.

use super::explorer::{Explorer, Subject};
use super::kept::First;
use super::settings::{Effort, Settings};
use crate::crash::choices::{Choices, Way};
use crate::crash::damage::DamageKind;
use crate::crash::image::{Image, Layer};
use crate::explore::exploration::Exploration;
use crate::failure::violation::Violation;
use crate::machine::model::{Model, WORD};
use crate::medium::schedule::Turns;
use crate::medium::watch::Watch;
use crate::medium::{Ran, SimMedium};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use std::sync::{Mutex, PoisonError};

/// The facts that the outside world has learned in a run, in order: "record 3 is acknowledged", "the write of record 4
/// has begun". A crash comes before or after each of them, and recovery is judged by the earlier ones.
pub struct Notes<'m, N> {
    medium: &'m SimMedium,
    notes: Mutex<Vec<N>>,
}

impl<N> Notes<'_, N> {
    /// Adds a note: the outside world learns something, here and now. This is not an operation on the medium: it
    /// persists and orders nothing.
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

/// A simulation of crashes under a [`Model`]. See [the example](crate#a-first-test).
#[derive(Clone, Debug)]
pub struct Simulation {
    beginning: Arc<[u64]>,
    settings: Settings,
}

/// The largest number of crashes in recovery: the exploration of each is a call nested in that of the previous one.
const IN_RECOVERY: u32 = 16;

impl Simulation {
    /// Returns a simulation on a medium of `bytes` bytes, rounded up to words, full of persistent junk, since memory
    /// from a kernel and reused files are not zeros. By default every state is explored, recovery itself is cut by one
    /// crash, and threads are preempted at most twice.
    #[must_use]
    pub fn new(model: Model, bytes: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(0);
        let beginning = (0..bytes.div_ceil(WORD)).map(|_| random.u64(..)).collect();
        Self { beginning, settings: Settings::new(model) }
    }

    /// Fills the medium with zeros, like a new file.
    #[must_use]
    pub fn zeros(self) -> Self {
        let beginning = vec![0; self.beginning.len()].into();
        Self { beginning, ..self }
    }

    /// Returns the same simulation after `prepare` has changed the medium and everything has become persistent. No
    /// crash happens during `prepare`.
    #[must_use]
    pub fn prepared(self, prepare: impl FnOnce(&SimMedium)) -> Self {
        let medium = self.medium();
        medium.limiting_spins(|| prepare(&medium));
        let Ran { history, image, .. } = medium.into_ran();
        let cut = history.now();
        let layer = Layer::new(history, cut);
        let mut settings = self.settings;
        Arc::make_mut(&mut settings.exposure).held.extend(layer.stored());
        let image = image.under(layer);
        let words = (0..self.beginning.len() as u64).map(|word| image.latest(word * WORD));
        Self { beginning: words.collect(), settings }
    }

    /// Sets the extent of the search after each crash. The default is exhaustive.
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.settings.effort = effort;
        self
    }

    /// Sets the number of times that a crash cuts recovery itself. The default is one. Each costs one recovery for each
    /// moment of a crash in the previous recovery. More than 16 count as 16.
    #[must_use]
    pub fn crashes_in_recovery(mut self, times: u32) -> Self {
        self.settings.in_recovery = times.min(IN_RECOVERY);
        self
    }

    /// Sets the number of times that a thread of [`run_threads`](SimMedium::run_threads) is preempted by another one;
    /// the default is two.
    #[must_use]
    pub fn preemptions(mut self, times: u32) -> Self {
        self.settings.preemptions = times;
        self
    }

    /// Returns the medium that a workload gets, for tests without a crash.
    #[must_use]
    pub fn medium(&self) -> SimMedium {
        self.running(Turns::new(Choices::new(Way::All), 0, self.settings.operations))
    }

    /// Ends the exploration after `recoveries` recoveries, and then reports that it was not exhaustive. The default is
    /// ten million.
    #[must_use]
    pub fn at_most(mut self, recoveries: u64) -> Self {
        self.settings.recoveries = recoveries;
        self
    }

    /// Limits the operations of a workload or a recovery, beyond which it counts as endless. The default is a million.
    /// Calls of [`spin_loop`](crate::sync::spin_loop) have a limit of the same number.
    #[must_use]
    pub fn operations(mut self, operations: u64) -> Self {
        self.settings.operations = operations;
        self
    }

    /// Lets each crash also leave damage of this kind. The default is none. The damage is at a place that was stored
    /// to, including stores in [`prepared`](Self::prepared), with at most one in all crashes of a run or history.
    /// Recovery learns of it from [`SimMedium::damage`], and may then return an error that names the bytes, but no
    /// wrong data.
    ///
    /// Each place is a separate state, so the number of recoveries is multiplied by that of blocks, sectors or words.
    ///
    /// # Panics
    /// If the size of a block is not a power of two of at least 8 bytes, or that of a sector not one of at least the
    /// model's line size.
    #[must_use]
    pub fn damage(mut self, kind: DamageKind) -> Self {
        let line = self.settings.model.words() as u64 * WORD;
        let is_size = |bytes: u64, least| bytes.is_power_of_two() && bytes >= least;
        assert!(
            match kind {
                DamageKind::BadBlock { bytes } => is_size(bytes, WORD),
                DamageKind::LostSector { bytes } => is_size(bytes, line),
                DamageKind::FlippedWord => true,
            },
            "the size of {kind:?} must be a power of two: a word at least, for a sector a line of {line} bytes"
        );
        Arc::make_mut(&mut self.settings.exposure).kinds.push(kind);
        self
    }

    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.settings.watch = watch;
        self
    }

    /// Runs the workload, then recovery for each crash that can differ from another one and each state that it may
    /// leave and recovery can distinguish. Recovery opens the bytes that it finds, and judges them by the notes made
    /// before the crash. Stops at the first failure, in the order of history.
    ///
    /// Both must do the same whenever the medium gives the same answers: they use no clock and no random numbers, and
    /// keep no state from run to run. The exploration repeats a run of each, and compares operations and results.
    pub fn explore<N: fmt::Debug>(
        &self,
        workload: impl Fn(&SimMedium, &Notes<'_, N>),
        recovery: impl Fn(&SimMedium, &[N]) -> Result<(), Violation>,
    ) -> Exploration {
        self.explored(&Tested::new(self, workload, recovery))
    }

    fn explored(&self, subject: &dyn Subject) -> Exploration {
        let mut found = Exploration::new(self.settings.model, self.settings.effort);
        // The exploration without a mutant has already detected kept state.
        let is_of_mutant = self.settings.watch.is_of_mutant();
        let first = (!is_of_mutant).then(|| First::of(self, subject));
        let mut schedule = Choices::new(Way::All);
        // The number of events that the next schedule shares with the one before.
        let mut known = 0;
        loop {
            let (ran, panic) = subject.run(schedule);
            found.schedules += 1;
            let Ran { history, image, turns, waste, .. } = ran;
            found.waste.add(&waste);
            let (made, events) = turns
                .and_then(Arc::into_inner)
                .map_or_else(|| (Choices::new(Way::All), Vec::new()), Turns::into_choices);
            let explorer = Explorer { settings: &self.settings, subject, schedule: made.taken() };
            let differs = made.differs().then(Violation::workload_differs);
            found.failure = match panic.or(differs) {
                Some(violation) => {
                    Some(Box::new(explorer.in_workload(violation, &image, &history)))
                }
                None => explorer.crashes(&mut found, &image, &history, known),
            };
            if found.failure.is_some() || !found.is_exhaustive_so_far {
                return found;
            }
            schedule = made;
            let Some(kept) = schedule.advance() else {
                found.failure = first.and_then(|first| explorer.kept(self, &first, &history));
                return found;
            };
            known = events.get(kept).copied().unwrap_or(0);
        }
    }

    pub(crate) const fn turns(&self, schedule: Choices) -> Turns {
        Turns::new(schedule, self.settings.preemptions, self.settings.operations)
    }

    fn running(&self, turns: Turns) -> SimMedium {
        self.holding(self.image(), Choices::new(Way::All)).with_turns(turns)
    }

    #[cfg(feature = "histories")]
    pub(crate) const fn model(&self) -> Model {
        self.settings.model
    }

    pub(crate) fn image(&self) -> Image {
        let exposure = Arc::clone(&self.settings.exposure);
        Image::new(Arc::clone(&self.beginning)).exposed(exposure)
    }

    pub(crate) fn holding(&self, image: Image, choices: Choices) -> SimMedium {
        self.settings.medium(image, choices)
    }
}

/// The functions of the caller, and the notes of the workload's last run.
struct Tested<'a, N, W, R> {
    simulation: &'a Simulation,
    workload: W,
    recovery: R,
    notes: RefCell<Vec<N>>,
}

impl<'a, N, W, R> Tested<'a, N, W, R> {
    const fn new(simulation: &'a Simulation, workload: W, recovery: R) -> Self {
        Self { simulation, workload, recovery, notes: RefCell::new(Vec::new()) }
    }
}

impl<N, W, R> Subject for Tested<'_, N, W, R>
where
    N: fmt::Debug,
    W: Fn(&SimMedium, &Notes<'_, N>),
    R: Fn(&SimMedium, &[N]) -> Result<(), Violation>,
{
    fn run(&self, schedule: Choices) -> (Ran, Option<Violation>) {
        let medium = self.simulation.running(self.simulation.turns(schedule));
        let notes = Notes { medium: &medium, notes: Mutex::new(Vec::new()) };
        let panic = medium.run(|| (self.workload)(&medium, &notes)).err();
        self.notes.replace(notes.notes.into_inner().unwrap_or_else(PoisonError::into_inner));
        (medium.into_ran(), panic)
    }

    fn recover(&self, medium: &SimMedium, known: usize) -> Result<(), Violation> {
        let notes = self.notes.borrow();
        let known = &notes[..known.min(notes.len())];
        medium.run(|| (self.recovery)(medium, known)).unwrap_or_else(Err)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.borrow().iter().map(|note| format!("{note:?}")).collect()
    }
}
