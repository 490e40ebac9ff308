//! The simulated medium.

mod latest;
pub(crate) mod mortal;
pub(crate) mod schedule;
pub(crate) mod watch;

use crate::medium::{Granularity, Medium, Readable, out_of_range};
use crate::sim::crash::choices::Choices;
use crate::sim::crash::image::Image;
use crate::sim::machine::history::{History, What};
use crate::sim::machine::model::{Durable, Model, WORD};
use crate::sim::machine::waste::Waste;
use crate::sim::machine::{Machine, Place, Store};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::Ordering;
use latest::Latest;
use mortal::Mortal;
use schedule::Turns;
use std::sync::{Mutex, MutexGuard, PoisonError};
use watch::Watch;

/// A medium that remembers every store, write-back and fence. A workload runs on one that begins as the
/// simulation says, recovery on one that a crash left.
///
/// Its size is a multiple of 8. Loads and copies out of what a crash left may decide what it left.
pub struct SimMedium {
    model: Model,
    bytes: u64,
    state: Mutex<State>,
    turns: Option<Arc<Turns>>,
    watch: Watch,
}

/// What changes while it is used.
#[derive(Debug)]
struct State {
    machine: Machine,
    image: Image,
    choices: Choices,
    /// Operations that may still be made.
    left: u64,
    snapshots: Option<Vec<Snapshot>>,
    /// The words stored in a run that no crash cuts, or after the death of the process: their order and
    /// write-backs cannot matter, so the machine learns of none.
    apart: Option<Latest>,
    /// The process is dead.
    is_dead: bool,
    /// Stores, write-backs and fences that the machine has learned of.
    changes: u64,
    /// The process dies when it attempts one more than so many of them.
    dies_after: u64,
}

/// A moment in the life of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Events of the machine, also of the processes before.
    pub(crate) events: u32,
    /// Stores, write-backs and fences of this process.
    pub(crate) changes: u64,
}

/// What was decided when an event happened.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The number of that event.
    pub(crate) event: u32,
    /// How many choices had been made.
    pub(crate) depth: usize,
    pub(crate) image: Image,
}

/// What a run leaves.
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
    /// A medium that holds an image. So many operations may be made on it.
    pub(crate) fn new(model: Model, image: Image, choices: Choices, operations: u64) -> Self {
        let bytes = image.len();
        let machine = Machine::new(model, bytes);
        let state = State {
            machine,
            image,
            choices,
            left: operations,
            snapshots: None,
            apart: None,
            is_dead: false,
            changes: 0,
            dies_after: u64::MAX,
        };
        Self { model, bytes, state: Mutex::new(state), turns: None, watch: Watch::default() }
    }

    /// Remembers what was decided at each event, for a crash there.
    pub(crate) fn with_snapshots(mut self) -> Self {
        self.state_mut().snapshots = Some(Vec::new());
        self
    }

    /// Remembers the latest value of each word alone, which is much faster: no crash comes.
    pub(crate) fn uncut(mut self) -> Self {
        self.state_mut().apart = Some(Latest::default());
        self
    }

    /// Goes on with the machine of a process that was killed.
    pub(crate) fn continuing(mut self, machine: Machine) -> Self {
        self.state_mut().machine = machine;
        self
    }

    /// Lets the process die when it attempts one more than so many stores, write-backs and fences.
    pub(crate) fn dying_after(mut self, changes: u64) -> Self {
        self.state_mut().dies_after = changes;
        self
    }

    /// Ends the process: what its code still does, as its destructors do, only that code sees.
    pub(crate) fn die(&self) {
        self.state().die();
    }

    /// Returns true if the process has died.
    pub(crate) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Returns the present moment; after its death, that of the death.
    pub(crate) fn moment(&self) -> Moment {
        let state = self.state();
        Moment { events: state.machine.history().now(), changes: state.changes }
    }

    /// Returns the machine, what it began with, and the choices that were made.
    pub(crate) fn into_parts(self) -> (Machine, Image, Choices) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.machine, state.image, state.choices)
    }

    pub(crate) fn with_turns(mut self, turns: Turns) -> Self {
        self.turns = Some(Arc::new(turns));
        self
    }

    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    /// What the run left behind.
    pub(crate) fn into_ran(self) -> Ran {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.machine.end();
        Ran {
            waste: core::mem::take(&mut state.machine.waste),
            history: Arc::new(state.machine.into_history()),
            image: state.image,
            choices: state.choices,
            snapshots: state.snapshots.unwrap_or_default(),
            turns: self.turns,
        }
    }

    /// The model that it follows.
    #[must_use]
    pub const fn model(&self) -> Model {
        self.model
    }

    /// Runs threads of a workload, one at a time: each operation on the medium, and each access to an atomic of
    /// [`sync`](crate::sim::sync), is a place where another one may go on, and every order up to the simulation's bound
    /// is tried. Returns when all have ended.
    ///
    /// Threads may share what they like. But while one waits for another one it must call
    /// [`pause`](Self::pause) or [`spin_loop`](crate::sim::sync::spin_loop), and it must not hold a lock of the operating
    /// system over such a place if others take it: the simulation would stand still.
    ///
    /// What threads hand over to each other outside of the medium, by atomics or a lock, the simulation does
    /// not see. A thread that writes back what another one has stored calls
    /// [`order_observed`](Medium::order_observed) first: arm64 needs that whatever it acquired, and on x86 only loads of
    /// the medium do without.
    ///
    /// # Panics
    /// If a thread panics; if all that have not ended are waiting; if it is called outside a workload, or
    /// by one of these threads.
    pub fn run_threads(&self, bodies: &[&(dyn Fn() + Sync)]) {
        schedule::run(self.turns.as_ref(), bodies);
    }

    /// What a thread calls instead of spinning: another one goes on. It counts as an operation.
    #[track_caller]
    pub fn pause(&self) {
        drop(self.spend());
        if let Some(turns) = &self.turns {
            turns.pause();
        }
    }

    /// The process that used the medium is killed, and another one goes on: the caches keep what it stored,
    /// but nobody completes what it had written back.
    pub fn killed(&self) {
        self.state().machine.killed();
    }

    /// The medium as a process sees it that is killed after so many operations: stores, write-backs, fences.
    #[must_use]
    pub const fn mortal(&self, operations: u64) -> Mortal<'_> {
        Mortal::new(self, operations)
    }

    /// Tells of a note: what the outside world learns. `record` keeps it in step with the events. The dead tell
    /// nothing.
    #[track_caller]
    pub(crate) fn note(&self, record: impl FnOnce()) {
        let place = Location::caller();
        let mut state = self.begin();
        if state.is_dead {
            return;
        }
        record();
        if state.apart.is_none() {
            state.machine.happened(schedule::thread(), What::Note, place);
        }
    }

    /// Begins an operation: another thread may have its turn first.
    #[track_caller]
    fn begin(&self) -> MutexGuard<'_, State> {
        if let Some(turns) = &self.turns {
            let events = self.state().machine.history().now();
            turns.turn(events);
        }
        self.spend()
    }

    /// Counts an operation.
    #[track_caller]
    #[expect(clippy::panic, reason = "the way out of code that does not end")]
    fn spend(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let Some(left) = state.left.checked_sub(1) else {
            drop(state);
            panic!("more operations than the simulation allows: does this end?");
        };
        state.left = left;
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&mut self) -> &mut State {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The range as one of the medium.
    #[track_caller]
    fn check(&self, at: u64, len: u64) {
        let is_within = at.checked_add(len).is_some_and(|end| end <= self.bytes);
        if !is_within {
            out_of_range(at, len, self.bytes);
        }
    }

    #[track_caller]
    fn check_word(&self, at: u64) {
        assert!(at.is_multiple_of(WORD), "offset {at} is no multiple of {WORD}");
        self.check(at, WORD);
    }
}

impl State {
    /// From now on the machine learns of nothing.
    fn die(&mut self) {
        self.is_dead = true;
        self.apart.get_or_insert_default();
    }

    /// Counts a store, a write-back or a fence; returns true if the machine learns of it.
    fn is_learned(&mut self) -> bool {
        if self.changes >= self.dies_after {
            self.die();
        }
        let is_learned = self.apart.is_none();
        self.changes += u64::from(is_learned);
        is_learned
    }

    /// An event is about to happen.
    fn snapshot(&mut self) {
        let (event, depth) = (self.machine.history().now(), self.choices.depth());
        let Some(snapshots) = &mut self.snapshots else { return };
        if snapshots.last().is_none_or(|last| last.depth != depth) {
            snapshots.push(Snapshot { event, depth, image: self.image.clone() });
        }
    }

    /// The bytes of a word under the mask.
    fn load(&mut self, at: u64, mask: u64, order: Ordering) -> u64 {
        let apart = self.apart.as_ref().and_then(|words| words.load(at));
        let stored = || self.machine.load_stored(schedule::thread(), at, order);
        match apart.or_else(stored) {
            Some(value) => value & mask,
            None => self.image.read(at, mask, &mut self.choices),
        }
    }

    /// The words that a copy of bytes stores, the parts of others merged in.
    fn merged(&mut self, at: u64, from: &[u8]) -> Vec<(u64, u64)> {
        let mut words = Vec::with_capacity(from.len() / WORD as usize + 2);
        for (word, part) in parts(at, from.len()) {
            let offset = (word + part.start as u64 - at) as usize;
            let mut bytes = match part.len() as u64 {
                WORD => [0; WORD as usize],
                _ => self.load(word, u64::MAX, Ordering::Relaxed).to_le_bytes(),
            };
            bytes[part.clone()].copy_from_slice(&from[offset..offset + part.len()]);
            words.push((word, u64::from_le_bytes(bytes)));
        }
        words
    }

    fn store(&mut self, words: &[(u64, u64)], store: Store, place: Place) {
        if words.is_empty() {
            return;
        }
        if self.is_learned() {
            self.snapshot();
            return self.machine.store_words(schedule::thread(), words, store, place);
        }
        for (at, word) in words {
            self.apart.get_or_insert_default().store(*at, *word);
        }
    }

    fn write_back(&mut self, range: Range<u64>, place: Place) {
        if self.is_learned() {
            self.snapshot();
            self.machine.write_back(schedule::thread(), range, false, place);
        }
    }

    fn fence(&mut self, place: Place) {
        if self.is_learned() {
            self.snapshot();
            self.machine.complete_own(schedule::thread(), place);
        }
    }

    fn order_observed(&mut self, place: Place) {
        if self.is_learned() {
            self.snapshot();
            self.machine.order(schedule::thread(), place);
        }
    }
}

/// The words that a stretch of bytes touches, each with the part of it.
fn parts(at: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let end = at + len as u64;
    let first = at - at % WORD;
    (first..end).step_by(WORD as usize).map(move |word| {
        let start = at.saturating_sub(word) as usize;
        let stop = (end - word).min(WORD) as usize;
        (word, start..stop)
    })
}

impl Readable for SimMedium {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.bytes
    }

    #[track_caller]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.check_word(at);
        assert!(
            matches!(order, Ordering::Relaxed | Ordering::Acquire | Ordering::SeqCst),
            "no order of a load"
        );
        let order = self.watch.load(order, Location::caller());
        self.begin().load(at, u64::MAX, order)
    }

    #[track_caller]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        self.check(at, into.len() as u64);
        let mut state = self.begin();
        // Of no bytes there is a word all the same, where they are asked for within one.
        for (word, part) in parts(at, into.len()).filter(|(_, part)| !part.is_empty()) {
            let bytes = state.load(word, mask(&part), Ordering::Relaxed).to_le_bytes();
            let place = (word + part.start as u64 - at) as usize;
            match into.get_mut(place..).and_then(<[u8]>::first_chunk_mut) {
                Some(whole) if part.len() as u64 == WORD => *whole = bytes,
                _ => into[place..place + part.len()].copy_from_slice(&bytes[part]),
            }
        }
        Ok(())
    }
}

impl Medium for SimMedium {
    fn granularity(&self) -> Granularity {
        self.model.granularity
    }

    fn atomic_unit(&self) -> usize {
        WORD as usize
    }

    #[track_caller]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.check_word(at);
        assert!(
            matches!(order, Ordering::Relaxed | Ordering::Release | Ordering::SeqCst),
            "no order of a store"
        );
        let place = Location::caller();
        let releases = self.watch.store(order, place) != Ordering::Relaxed;
        self.begin().store(&[(at, word)], Store::Ordinary { releases }, place);
    }

    #[track_caller]
    fn write(&self, at: u64, from: &[u8]) {
        self.check(at, from.len() as u64);
        let place = Location::caller();
        let mut state = self.begin();
        let words = state.merged(at, from);
        state.store(&words, Store::Copy, place);
    }

    #[track_caller]
    fn writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        assert!(range.start <= range.end, "the range {range:?} ends before it starts");
        self.check(range.start, range.end - range.start);
        let place = Location::caller();
        let Some(range) = self.watch.writeback(range, &self.model, place) else { return Ok(()) };
        self.begin().write_back(range, place);
        Ok(())
    }

    #[track_caller]
    fn fence(&self) {
        let place = Location::caller();
        if self.watch.fences(place) {
            self.begin().fence(place);
        }
    }

    #[track_caller]
    fn order_observed(&self) {
        let place = Location::caller();
        if self.watch.fences(place) {
            self.begin().order_observed(place);
        }
    }

    #[track_caller]
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Infallible> {
        let place = Location::caller();
        let parts = parts.iter().filter(|(_, bytes)| !bytes.is_empty());
        for (at, bytes) in parts.clone() {
            self.check(*at, bytes.len() as u64);
            let mut state = self.begin();
            let words = state.merged(*at, bytes);
            state.store(&words, Store::Scattered, place);
        }
        if matches!(self.model.durable, Durable::Completed | Durable::Returned) {
            for (at, bytes) in parts {
                let range = *at..at + bytes.len() as u64;
                let Some(range) = self.watch.writeback(range, &self.model, place) else { continue };
                self.begin().write_back(range, place);
            }
        }
        Ok(())
    }
}

/// The bits of a part of a word, which is not empty.
const fn mask(part: &Range<usize>) -> u64 {
    let bits = (part.end - part.start) * 8;
    (u64::MAX >> (64 - bits)) << (part.start * 8)
}

impl fmt::Debug for SimMedium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimMedium")
            .field("model", &self.model)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
