//! The simulated medium.

mod access;
mod allowance;
mod latest;
#[cfg(feature = "histories")]
pub(crate) mod lives;
pub(crate) mod mortal;
pub(crate) mod schedule;
pub(crate) mod state;
pub(crate) mod watch;
mod words;

use crate::crash::choices::{Choices, Way};
use crate::crash::damage::Damage;
use crate::crash::image::Image;
use crate::failure::violation::{Violation, quietly};
use crate::machine::history::{History, What};
use crate::machine::model::{Model, WORD};
use crate::machine::waste::Waste;
use alloc::sync::Arc;
use alloc::vec::Vec;
use allowance::limiting_spins;
use cachemaint::family::out_of_range;
use core::fmt;
use core::ops::Range;
use core::panic::Location;
use latest::Latest;
use mortal::Mortal;
use schedule::{Access, Turns};
use state::{Process, Snapshot, State};
use std::sync::{Mutex, MutexGuard, PoisonError};
use watch::Watch;

/// A medium that remembers every store, write-back and fence. A workload gets one with the simulation's initial
/// content, recovery one that a crash left.
///
/// Its size is a multiple of 8. Loads and copies from an undecided state may decide it.
pub struct SimMedium {
    model: Model,
    bytes: u64,
    state: Arc<Mutex<State>>,
    turns: Option<Arc<Turns>>,
    watch: Watch,
    /// The process that uses it.
    process: usize,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) history: Arc<History>,
    pub(crate) image: Image,
    pub(crate) choices: Choices,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) turns: Option<Arc<Turns>>,
    pub(crate) waste: Waste,
}

impl SimMedium {
    /// Returns a medium that holds an image. It permits at most `operations` operations.
    pub(crate) fn new(model: Model, image: Image, choices: Choices, operations: u64) -> Self {
        let bytes = image.len();
        let state = State::new(model, image, choices, operations);
        let state = Arc::new(Mutex::new(state));
        Self { model, bytes, state, turns: None, watch: Watch::default(), process: 0 }
    }

    /// Remembers the decisions at each event, for a crash there.
    pub(crate) fn with_snapshots(self) -> Self {
        self.state().snapshots = Some(Vec::new());
        self
    }

    /// Remembers only the latest value of each word, which is much faster, since no crash comes.
    pub(crate) fn uncut(self) -> Self {
        self.state().apart = Some(Latest::default());
        self
    }

    /// Records the loads and stores of a run that no crash cuts.
    pub(crate) fn traced(self) -> Self {
        let medium = self.uncut();
        medium.state().trace = Some(0);
        medium
    }

    /// Returns a hash of all loads and stores with the stored values, in order, if they are recorded.
    pub(crate) fn trace(&self) -> Option<u64> {
        self.state().trace
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().process().death.is_some()
    }

    pub(crate) fn with_turns(mut self, turns: Turns) -> Self {
        self.turns = Some(Arc::new(turns));
        self
    }

    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    /// Runs the code of a process on this medium. Panics count as findings.
    pub(crate) fn run<T>(&self, code: impl FnOnce() -> T) -> Result<T, Violation> {
        let result = self.limiting_spins(|| quietly(code));
        let foreign = self.state().foreign;
        foreign.map_or(result, |place| Err(Violation::foreign(place)))
    }

    /// Runs code on this medium. The limit of operations also ends its spinning loops.
    pub(crate) fn limiting_spins<T>(&self, code: impl FnOnce() -> T) -> T {
        let turns = {
            let mut state = self.state();
            state.owner = Some(schedule::here());
            state.left
        };
        limiting_spins(turns, code)
    }

    pub(crate) fn into_ran(self) -> Ran {
        let turns = self.turns.clone();
        let mut state = self.into_state();
        // For a crash at the end: the last event may have come before the last choices.
        state.snapshot();
        state.machine.end();
        Ran {
            waste: core::mem::take(&mut state.machine.waste),
            history: Arc::new(state.machine.into_history()),
            image: state.image,
            choices: state.choices,
            snapshots: state.snapshots.unwrap_or_default(),
            turns,
        }
    }

    /// Returns the model of the medium.
    #[must_use]
    pub const fn model(&self) -> Model {
        self.model
    }

    /// Returns the damage that an earlier crash left, if there is any; see
    /// [`Simulation::damage`](super::Simulation::damage).
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        self.state().image.damage().cloned()
    }

    /// Runs threads of a workload, one at a time. The simulator may switch threads at each operation on the medium, at
    /// each access to an atomic of [`sync`](crate::sync), and in the middle of a `read`, a `write` and each part of a
    /// copy. It tries every order up to the simulation's bound. Returns when all threads have ended.
    ///
    /// A thread that waits for another one must call [`pause`](Self::pause) or [`spin_loop`](crate::sync::spin_loop),
    /// and must hold no lock of the operating system there; use a [`Mutex`](crate::sync::Mutex) instead. A thread that
    /// writes back the stores of another one must call [`order_observed`](cachemaint::medium::Medium::order_observed)
    /// first, since the simulation does not see values passed outside of the medium.
    ///
    /// A copy by [`copy_unordered`](cachemaint::medium::Medium::copy_unordered) is in no order with other stores until
    /// the thread's fence. Another thread may find the old bytes, and its stores to them may be overwritten later. Each
    /// such delay counts as a preemption.
    ///
    /// The threads begin after all operations before the call. Each call numbers them from 1 on; the code outside is
    /// thread 0. An operation of any other thread on the medium fails the workload.
    ///
    /// ```rust
    /// use cachemaint::medium::{Medium, Readable};
    /// use cachemaint_sim::{Model, Simulation, Violation};
    /// use std::sync::atomic::Ordering::{Acquire, Release};
    ///
    /// const ITEM: u64 = 0;
    /// const FILLED: u64 = 64;
    ///
    /// // A queue with room for one item. The producer sends 1 and 2; the consumer takes the first.
    /// let explored = Simulation::new(Model::ARM64, 128).zeros().explore(
    ///     |medium, notes| {
    ///         let produce = || {
    ///             for item in 1..=2 {
    ///                 while medium.load(FILLED, Acquire) != 0 {
    ///                     medium.pause(); // the consumer goes on
    ///                 }
    ///                 medium.order_observed(); // orders the consumer's store of 0 before its write-back
    ///                 medium.persist(FILLED..FILLED + 8).unwrap(); // before the freed item is overwritten
    ///                 medium.store(ITEM, item, Release);
    ///                 medium.persist(ITEM..ITEM + 8).unwrap();
    ///                 medium.store(FILLED, item, Release);
    ///                 medium.persist(FILLED..FILLED + 8).unwrap();
    ///                 notes.add(item); // acknowledged
    ///             }
    ///         };
    ///         let consume = || {
    ///             while medium.load(FILLED, Acquire) == 0 {
    ///                 medium.pause();
    ///             }
    ///             medium.store(FILLED, 0, Release);
    ///             medium.persist(FILLED..FILLED + 8).unwrap();
    ///         };
    ///         medium.run_threads(&[&produce, &consume]);
    ///     },
    ///     |medium, notes| {
    ///         let (filled, item) = (medium.load(FILLED, Acquire), medium.load(ITEM, Acquire));
    ///         if notes.len() == 2 && filled != 2 {
    ///             return Err(Violation::lost("the second item"));
    ///         }
    ///         Violation::unless(filled == 0 || item == filled, || format!("{item} for {filled}"))
    ///     },
    /// );
    /// explored.assert_safe();
    /// ```
    ///
    /// # Panics
    /// If a thread panics, if all remaining threads are waiting, or if it is called outside a workload or by one of
    /// these threads.
    #[track_caller]
    pub fn run_threads(&self, bodies: &[&(dyn Fn() + Sync)]) {
        self.state().machine.starts_threads(schedule::thread());
        let ended = schedule::run(self.turns.as_ref(), bodies);
        let mut state = self.state();
        state.unordered.clear();
        state.machine.joins(schedule::thread(), ended);
    }

    /// Lets another thread continue; call it instead of spinning. It counts as an operation. The thread waits for a
    /// store to the medium, or to an atomic of [`sync`](crate::sync).
    #[track_caller]
    pub fn pause(&self) {
        drop(self.spend());
        if let Some(turns) = &self.turns {
            turns.pause();
        }
    }

    /// Kills the process that used the medium, and lets another one continue. The caches keep its stores, but its
    /// pending write-backs are never completed.
    #[track_caller]
    pub fn killed(&self) {
        let mut state = self.state();
        state.goes_on();
        state.kill(Location::caller());
    }

    /// Returns the medium for a process that is killed after `operations` stores, write-backs and fences. A kill ends
    /// all threads of [`run_threads`](Self::run_threads).
    ///
    /// Once dead, the process adds no notes. The next process begins with an operation on the simulated medium itself,
    /// or with [`killed`](Self::killed), after `run_threads`.
    ///
    /// ```rust,test_harness
    /// use cachemaint::medium::Medium;
    /// use cachemaint_sim::{Model, SimMedium, Simulation, Violation};
    /// use std::sync::atomic::Ordering::Relaxed;
    ///
    /// fn set<M: Medium>(medium: &M, number: u64) -> Result<(), M::Error> {
    ///     medium.store(0, number, Relaxed);
    ///     medium.persist(0..8)
    /// }
    ///
    /// fn read<M: Medium>(medium: &M) -> Result<u64, M::Error> {
    ///     medium.persist(0..8)?; // a killed process may have left it in the caches
    ///     Ok(medium.load(0, Relaxed))
    /// }
    ///
    /// #[test]
    /// fn a_number_that_was_read_after_a_kill_is_not_lost() {
    ///     let test = |operations| Simulation::new(Model::NEUTRAL, 64).zeros().explore(
    ///         |medium, notes| {
    ///             let _killed = set(&medium.mortal(operations), 7); // an error if the kill comes before its end
    ///             medium.killed();
    ///             notes.add(read(medium).unwrap()); // the next process; then the power fails
    ///         },
    ///         |medium: &SimMedium, notes: &[u64]| {
    ///             let found = read(medium)?;
    ///             Violation::unless(notes.iter().all(|number| *number == found), || format!("{found}"))
    ///         },
    ///     );
    ///     // A kill after each of the store, the write-back and the fence, and before the first.
    ///     (0..=3).for_each(|operations| test(operations).assert_safe());
    /// }
    /// ```
    #[must_use]
    pub fn mortal(&self, operations: u64) -> Mortal<'_> {
        let Self { model, bytes, .. } = *self;
        let (state, turns, watch) = (self.state.clone(), self.turns.clone(), self.watch.clone());
        let process = {
            let processes = &mut self.state().processes;
            processes.push(Process::new(operations));
            processes.len() - 1
        };
        Mortal::new(Self { model, bytes, state, turns, watch, process })
    }

    /// Adds a note of what the outside world learns. `record` keeps the notes in step with the events. A dead process
    /// adds no notes.
    #[track_caller]
    pub(crate) fn note(&self, record: impl FnOnce()) {
        let place = Location::caller();
        self.offer(Access::Changes);
        let mut state = self.spend();
        if state.is_buried {
            return;
        }
        let is_learned = state.is_learned(place);
        if state.process().death.is_some() {
            return;
        }
        record();
        if is_learned {
            state.machine.happened(schedule::thread(), What::Note, place);
        }
    }

    /// Begins an operation; another thread may run first.
    #[track_caller]
    fn begin(&self, access: Access) -> MutexGuard<'_, State> {
        self.offer(access);
        let mut state = self.spend();
        state.begins();
        state
    }

    /// Begins an access to bytes that other threads may have copied without a fence.
    #[track_caller]
    fn access(&self, access: Access, bytes: &Range<u64>) -> MutexGuard<'_, State> {
        let mut state = self.begin(access);
        if let Some(turns) = &self.turns {
            state.arrive(bytes, || turns.is_late());
        }
        state
    }

    fn offer(&self, access: Access) {
        if let Some(turns) = &self.turns {
            let events = self.state().machine.history().now();
            turns.turn(access, events);
        }
    }

    /// Chooses whether another thread continues in the middle of an operation, and which one.
    fn torn(&self) -> Option<usize> {
        self.turns.as_ref()?.torn()
    }

    /// Lets the chosen thread continue.
    fn tear(&self, other: Option<usize>) {
        if let (Some(turns), Some(other)) = (&self.turns, other) {
            turns.tear(other);
        }
    }

    #[track_caller]
    fn spend(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.used_at(Location::caller());
        assert!(
            state.left.spend(),
            "more operations than the simulation allows: does this end? Let a loop that waits for another thread call \
             `pause`"
        );
        state
    }

    /// Returns the state, for an operation of this process.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.current = self.process;
        state
    }

    /// Takes the state. No other process uses it any more.
    fn into_state(self) -> State {
        let nothing = State::new(self.model, Image::new([].into()), Choices::new(Way::All), 0);
        core::mem::replace(&mut *self.state(), nothing)
    }

    #[track_caller]
    fn check_bounds(&self, at: u64, len: u64) {
        let is_within = at.checked_add(len).is_some_and(|end| end <= self.bytes);
        if !is_within {
            out_of_range(at, len, self.bytes);
        }
    }

    #[track_caller]
    fn check_range(&self, range: &Range<u64>) {
        assert!(range.start <= range.end, "the range {range:?} ends before it starts");
        self.check_bounds(range.start, range.end - range.start);
    }

    #[track_caller]
    fn check_word(&self, at: u64) {
        assert!(at.is_multiple_of(WORD), "offset {at} is not a multiple of {WORD}");
        self.check_bounds(at, WORD);
    }
}

impl fmt::Debug for SimMedium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimMedium")
            .field("model", &self.model)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
