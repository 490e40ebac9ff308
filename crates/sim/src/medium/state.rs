//! The state of a simulated medium: its machine, and the image that an earlier crash left.

use super::allowance::Allowance;
use super::latest::Latest;
use super::schedule;
use super::words::{mask, parts};
use crate::crash::choices::Choices;
use crate::crash::image::Image;
use crate::machine::model::{Model, WORD};
use crate::machine::state::Store;
use crate::machine::{Machine, Place};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

#[derive(Debug)]
pub(super) struct State {
    pub(super) machine: Machine,
    pub(super) image: Image,
    pub(super) choices: Choices,
    pub(super) left: Allowance,
    /// The thread that runs the code on this medium, if it is known.
    pub(super) owner: Option<schedule::Here>,
    /// The place of the first operation of a thread that is neither the owner nor one of a workload.
    pub(super) foreign: Option<Place>,
    pub(super) snapshots: Option<Vec<Snapshot>>,
    /// The words stored in a run that no crash cuts: their order and write-backs cannot matter, so the machine does not
    /// see them.
    pub(super) apart: Option<Latest>,
    /// A hash of all loads and stores of words with the stored values, in order, if they are recorded.
    pub(super) trace: Option<u64>,
    /// True from the death of a process until the first operation of the next one. Its threads add no notes then.
    pub(super) is_buried: bool,
    pub(super) processes: Vec<Process>,
    pub(super) current: usize,
    /// The copies of threads that no fence has ordered.
    pub(super) unordered: Vec<Unordered>,
}

/// A copy by streaming stores that no fence has ordered. Until then, other threads may find the old bytes, and it may
/// arrive after their stores.
#[derive(Debug)]
pub(super) struct Unordered {
    thread: usize,
    words: Vec<Late>,
    place: Place,
}

/// A word of such a copy, and the store of this run before it.
#[derive(Clone, Copy, Debug)]
struct Late {
    at: u64,
    value: u64,
    before: Option<u64>,
}

impl Unordered {
    fn is_in(&self, bytes: &Range<u64>) -> bool {
        self.words.iter().any(|word| word.at < bytes.end && bytes.start < word.at + WORD)
    }
}

/// A process that uses the medium, until it is killed or ends.
#[derive(Debug)]
pub(super) struct Process {
    /// The number of changes that it may make; it dies when it attempts one more.
    dies_after: u64,
    /// The number of its stores, write-backs, fences and notes.
    pub(super) changes: u64,
    pub(super) death: Option<Death>,
    /// The words stored after its death, which only its own code sees.
    apart: Option<Latest>,
}

impl Process {
    pub(super) const fn new(dies_after: u64) -> Self {
        Self { dies_after, changes: 0, death: None, apart: None }
    }

    pub(super) const fn is_alive(&self) -> bool {
        self.death.is_none() && self.changes < self.dies_after
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The process ended between two operations of the structure.
    #[cfg(feature = "histories")]
    Ended,
    /// The process was killed when it attempted one change too many.
    Killed,
}

/// The decisions before an event, or at the end.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) event: u32,
    pub(crate) depth: usize,
    pub(crate) image: Image,
}

/// An odd number with irregular bits.
const MIXING: u64 = 0x9e37_79b9_7f4a_7c15;

impl State {
    pub(super) fn new(
        model: Model,
        mut image: Image,
        mut choices: Choices,
        operations: u64,
    ) -> Self {
        image.choose_damage(&mut choices);
        Self {
            machine: Machine::new(model, image.len()),
            image,
            choices,
            left: Allowance::new(operations),
            owner: None,
            foreign: None,
            snapshots: None,
            apart: None,
            trace: None,
            is_buried: false,
            processes: vec![Process::new(u64::MAX)],
            current: 0,
            unordered: Vec::new(),
        }
    }

    /// Records an operation of an unknown thread, which would otherwise count as one of the owner's.
    pub(super) fn used_at(&mut self, place: Place) {
        let is_owner = self.owner.is_none_or(|owner| owner == schedule::here());
        if !is_owner && !schedule::is_one() {
            self.foreign.get_or_insert(place);
        }
    }

    pub(super) fn process(&mut self) -> &mut Process {
        &mut self.processes[self.current]
    }

    pub(super) fn begins(&mut self) {
        if self.process().death.is_some() {
            self.is_buried = true;
        } else {
            self.goes_on();
        }
    }

    /// Lets the next process continue, if one has died.
    pub(super) fn goes_on(&mut self) {
        assert!(
            !self.is_buried || !schedule::is_one(),
            "a kill ends all threads: let the next process continue after `run_threads`"
        );
        self.is_buried = false;
    }

    /// Hides all further operations of the process from the machine.
    pub(super) fn die(&mut self, death: Death) {
        let process = self.process();
        process.death.get_or_insert(death);
        process.apart.get_or_insert_default();
    }

    /// Kills the process with all threads. A dead process is not killed again.
    pub(super) fn kill(&mut self, place: Place) {
        // The machine sees nothing of a run that no crash cuts.
        if self.apart.is_none() && self.process().death.is_none() {
            self.machine.killed(place);
            self.unordered.clear();
        }
    }

    /// Lets the copies of other threads that contain some of these bytes arrive, except those that are late.
    pub(super) fn arrive(&mut self, bytes: &Range<u64>, is_late: impl Fn() -> bool) {
        let own = schedule::thread();
        self.unordered.retain(|copy| copy.thread == own || !copy.is_in(bytes) || is_late());
    }

    /// Returns the word of another thread that is late there.
    fn late_at(&self, at: u64) -> Option<Late> {
        let own = schedule::thread();
        let of_others = self.unordered.iter().filter(|copy| copy.thread != own);
        of_others.flat_map(|copy| &copy.words).find(|word| word.at == at).copied()
    }

    /// Returns an unordered copy that this thread is about to make.
    fn late(&self, words: &[(u64, u64)], place: Place) -> Unordered {
        let late = |(at, value): &(u64, u64)| {
            let (line, word) = self.machine.history().model.place(*at);
            let stores = self.machine.history().line(line).map(|stores| stores.writes(word));
            let before = stores.and_then(<[_]>::last).map(|last| last.value);
            Late { at: *at, value: *value, before }
        };
        Unordered { thread: schedule::thread(), words: words.iter().map(late).collect(), place }
    }

    /// Lets late copies of others arrive after a store of this thread, which keeps the order of its own stores.
    fn arrive_behind(&mut self, bytes: &Range<u64>) {
        let own = schedule::thread();
        let is_behind = |copy: &mut Unordered| copy.thread != own && copy.is_in(bytes);
        let late: Vec<_> = self.unordered.extract_if(.., is_behind).collect();
        for Unordered { thread, words, place } in late {
            let overwriting = words.iter().filter(|word| bytes.contains(&word.at));
            let words: Vec<_> = overwriting.map(|word| (word.at, word.value)).collect();
            let range = bytes.clone();
            self.machine.store_words(thread, (&words, range), Store::Scattered, place);
        }
        for copy in &mut self.unordered {
            copy.words.retain(|word| copy.thread != own || !bytes.contains(&word.at));
        }
    }

    /// Counts a store, a write-back, a fence or a note, which may kill the process. Returns true if the machine sees
    /// it.
    pub(super) fn is_learned(&mut self, place: Place) -> bool {
        let process = self.process();
        if process.death.is_none() && process.changes >= process.dies_after {
            self.kill(place);
            self.die(Death::Killed);
            self.is_buried = true;
        }
        let process = self.process();
        let lives = process.death.is_none();
        process.changes += u64::from(lives);
        lives && self.apart.is_none()
    }

    /// Remembers the decisions so far, for a crash now: before an event that is about to happen, or at the end.
    pub(super) fn snapshot(&mut self) {
        let (event, depth) = (self.machine.history().now(), self.choices.depth());
        let Some(snapshots) = &mut self.snapshots else { return };
        if snapshots.last().is_none_or(|last| last.depth != depth) {
            snapshots.push(Snapshot { event, depth, image: self.image.clone() });
        }
    }

    #[inline]
    fn trace(&mut self, number: u64) {
        if let Some(trace) = &mut self.trace {
            *trace = (trace.rotate_left(5) ^ number).wrapping_mul(MIXING);
        }
    }

    /// Returns the bytes of a word under the mask.
    #[inline]
    pub(super) fn load(&mut self, at: u64, mask: u64, order: Ordering, place: Place) -> u64 {
        self.trace(at);
        if let Some(late) = self.late_at(at) {
            let below = || self.image.read(at, mask, &mut self.choices);
            return late.before.map_or_else(below, |before| before & mask);
        }
        let own = self.processes[self.current].apart.as_ref().and_then(|words| words.load(at));
        let apart = own.or_else(|| self.apart.as_ref()?.load(at));
        let stored = || self.machine.load_stored(schedule::thread(), at, order, place);
        match apart.or_else(stored) {
            Some(value) => value & mask,
            None => self.image.read(at, mask, &mut self.choices),
        }
    }

    pub(super) fn read(&mut self, at: u64, into: &mut [u8], from: Place) {
        for (word, part) in parts(at, into.len()) {
            let bytes = self.load(word, mask(&part), Ordering::Relaxed, from).to_le_bytes();
            let place = (word + part.start as u64 - at) as usize;
            match into.get_mut(place..).and_then(<[u8]>::first_chunk_mut) {
                Some(whole) if part.len() as u64 == WORD => *whole = bytes,
                _ => into[place..place + part.len()].copy_from_slice(&bytes[part]),
            }
        }
    }

    /// Copies bytes in, as one event.
    pub(super) fn copy(&mut self, at: u64, from: &[u8], store: Store, place: Place) {
        let words = self.merged(at, from, place);
        // Threads that do not run at the same time are ordered by the operating system.
        let is_late = store == Store::Unordered && schedule::is_one();
        let late = is_late.then(|| self.late(&words, place));
        self.store((&words, at..at + from.len() as u64), store, place);
        self.unordered.extend(late);
    }

    /// Returns the words that a copy of bytes stores, merged with the bytes of others.
    fn merged(&mut self, at: u64, from: &[u8], place: Place) -> Vec<(u64, u64)> {
        let mut words = Vec::with_capacity(from.len() / WORD as usize + 2);
        for (word, part) in parts(at, from.len()) {
            let offset = (word + part.start as u64 - at) as usize;
            let mut bytes = match part.len() as u64 {
                WORD => [0; WORD as usize],
                _ => self.load(word, u64::MAX, Ordering::Relaxed, place).to_le_bytes(),
            };
            bytes[part.clone()].copy_from_slice(&from[offset..offset + part.len()]);
            words.push((word, u64::from_le_bytes(bytes)));
        }
        words
    }

    pub(super) fn store(
        &mut self,
        (words, bytes): (&[(u64, u64)], Range<u64>),
        store: Store,
        place: Place,
    ) {
        if words.is_empty() {
            return;
        }
        if self.is_learned(place) {
            self.snapshot();
            let thread = schedule::thread();
            self.machine.store_words(thread, (words, bytes.clone()), store, place);
            return self.arrive_behind(&bytes);
        }
        for (at, word) in words {
            self.trace(!at);
            self.trace(*word);
            let own = self.processes[self.current].apart.as_mut();
            if let Some(apart) = own.or(self.apart.as_mut()) {
                apart.store(*at, *word);
            }
        }
    }

    /// Lets a copy of scattered words return.
    pub(super) fn copy_returns(&mut self) {
        let own = schedule::thread();
        self.unordered.retain(|copy| copy.thread != own);
        if self.apart.is_none() && self.process().death.is_none() {
            self.machine.copy_returns(schedule::thread());
        }
    }

    pub(super) fn write_back(&mut self, range: Range<u64>, place: Place) {
        if self.is_learned(place) {
            self.snapshot();
            self.machine.write_back(schedule::thread(), range, false, place);
        }
    }

    pub(super) fn fence(&mut self, place: Place) {
        if self.is_learned(place) {
            self.snapshot();
            // An unordered copy gets its place now.
            self.copy_returns();
            self.machine.complete_own(schedule::thread(), place);
        }
    }

    pub(super) fn order_observed(&mut self, place: Place) {
        if self.is_learned(place) {
            self.snapshot();
            self.machine.order(schedule::thread(), place);
        }
    }
}
