//! A machine that executes instructions of a few threads, one at a time, and remembers the possible contents of each
//! line after a crash.
//!
//! [`SimMedium`](super::SimMedium) is made of it. It is public for litmus tests, which are written in
//! instructions of numbered threads.

pub(crate) mod history;
pub(crate) mod model;
mod ordered;
pub(crate) mod state;
mod stores;
pub mod waste;
mod writebacks;

use history::{Happened, History, Line, What};
use model::{Model, Order, WORD};
use ordered::Ordered;
use state::{Orders, Store, Thread};
use waste::{Kind, Waste};

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::Ordering;

/// The place of an instruction in the source.
pub(crate) type Place = &'static Location<'static>;

/// A machine with a persistency model, as a litmus test drives it: instruction by instruction, in the
/// order in which they reach memory. Threads are numbered from 0.
///
/// ```
/// use cachemaint_sim::{Machine, Model};
/// use core::sync::atomic::Ordering::Relaxed;
///
/// // a = 1; clwb a; b = 1, with a and b in different lines.
/// let mut machine = Machine::new(Model::X86, 128);
/// machine.store(0, 0, 1, Relaxed);
/// machine.writeback(0, 0..8);
/// machine.store(0, 64, 1, Relaxed);
/// // Without a fence b may survive alone: all four states.
/// assert_eq!(machine.outcomes(&[0, 64]).len(), 4);
/// ```
///
/// Hidden: it is for the tests of the models, and can change in any version.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Machine {
    history: History,
    orders: Vec<Option<Box<Orders>>>,
    threads: Vec<Thread>,
    /// A thread that begins now.
    newborn: Thread,
    pub(crate) waste: Waste,
    bytes: u64,
}

impl Machine {
    /// Returns a machine with `bytes` bytes of memory, all zeros and persistent.
    #[must_use]
    pub fn new(model: Model, bytes: u64) -> Self {
        let (history, waste) = (History::new(model), Waste::default());
        let (orders, threads, newborn) = (Vec::new(), Vec::new(), Thread::default());
        Self { history, orders, threads, newborn, waste, bytes }
    }

    /// Stores a word; `order` is `Relaxed` or `Release`.
    #[track_caller]
    pub fn store(&mut self, thread: usize, at: u64, value: u64, order: Ordering) {
        let releases = order != Ordering::Relaxed;
        self.store_word(thread, (at, value), Store::Ordinary { releases }, Location::caller());
    }

    /// Copies whole words by ordinary stores, in no order among themselves (`memcpy`, `rep movsb`).
    #[track_caller]
    pub fn copy(&mut self, thread: usize, at: u64, words: &[u64]) {
        let bytes = at..at + WORD * words.len() as u64;
        let words: Vec<_> = (at..).step_by(WORD as usize).zip(words.iter().copied()).collect();
        self.store_words(thread, (&words, bytes), Store::Copy, Location::caller());
    }

    /// Stores a word past the caches (MOVNTI, STNP).
    #[track_caller]
    pub fn store_streaming(&mut self, thread: usize, at: u64, value: u64) {
        self.store_word(thread, (at, value), Store::Streaming, Location::caller());
    }

    /// Loads a word and returns the latest store; `order` is `Relaxed` or `Acquire`.
    #[track_caller]
    pub fn load(&mut self, thread: usize, at: u64, order: Ordering) -> u64 {
        self.load_stored(thread, at, order, Location::caller()).unwrap_or(0)
    }

    /// Issues a write-back that a fence completes: CLFLUSHOPT, CLWB, DC CVAP; on AMD also CLFLUSH.
    ///
    /// It has the thread's own stores, but for streaming ones that were not fenced. It has a store of another thread if
    /// this thread fenced in between. On x86 it also has that store if this thread loaded it, or one that came after
    /// it, which a streaming store does only behind a fence; elsewhere if this thread loaded that store itself. The
    /// reason: a load of one line and a write-back of another are not ordered on arm64, not by acquire either (Arm ARM,
    /// D7.5.9). On x86 a write-back may overtake stores that are still in the other CPU's store buffer.
    #[doc(alias("clwb", "clflushopt", "DC CVAP"))]
    #[track_caller]
    pub fn writeback(&mut self, thread: usize, range: Range<u64>) {
        self.write_back(thread, range, false, Location::caller());
    }

    /// Issues CLFLUSH, which takes effect in program order: later stores of the thread are persistent only if the line
    /// is. It is in the store buffer before, as a store is.
    #[doc(alias = "clflush")]
    #[track_caller]
    pub fn writeback_in_order(&mut self, thread: usize, range: Range<u64>) {
        self.write_back(thread, range, true, Location::caller());
    }

    /// Executes SFENCE, MFENCE, DSB for loads and stores: completes this thread's write-backs, and orders its stores.
    #[doc(alias("sfence", "mfence", "dsb"))]
    #[track_caller]
    pub fn fence(&mut self, thread: usize) {
        self.complete(thread, Location::caller());
    }

    /// Executes DMB: orders the thread's accesses and completes nothing. On x86 ordinary stores are in order anyway.
    #[doc(alias = "dmb")]
    #[track_caller]
    pub fn barrier(&mut self, thread: usize) {
        self.order(thread, Location::caller());
    }

    /// Exchanges a word by a locked instruction. On x86 it completes write-backs as SFENCE does; on arm64 a
    /// compare-and-exchange completes none.
    #[doc(alias("lock", "xchg", "cas"))]
    #[track_caller]
    pub fn exchange(&mut self, thread: usize, at: u64, value: u64, order: Ordering) -> u64 {
        if self.history.model.order == Order::Total {
            self.complete(thread, Location::caller());
        }
        let old = self.load(thread, at, order);
        let releases = order != Ordering::Relaxed;
        self.store_word(thread, (at, value), Store::Ordinary { releases }, Location::caller());
        old
    }

    /// Lets another process go on in place of all threads. Its operations are ordered after theirs: the operating
    /// system sees to that. Their pending write-backs are never completed.
    pub(crate) fn killed(&mut self, place: Place) {
        for thread in 0..self.threads.len() {
            self.dies(thread);
            self.orders_all(thread);
        }
        self.newborn.fenced = self.history.now();
        self.is_killed(0, place);
        (0..self.history.now()).for_each(|event| self.history.see(event));
    }

    /// Does the same for the threads of one process, beside others that live on. The next process goes on in their place,
    /// or as thread 0 when all have ended.
    pub(crate) fn killed_beside_others(&mut self, dead: &[usize], place: Place) {
        let mut before = Ordered::default();
        for thread in dead {
            self.dies(*thread);
            before.follow(&self.thread(*thread).ordered.handed_on());
            self.is_killed(*thread, place);
        }
        let last = self.last_stores(dead);
        for next in dead.iter().copied().chain([0]) {
            let next = self.thread(next);
            next.ordered.follow(&before);
            for (word, number) in &last {
                let loaded = next.loaded.entry(*word).or_default();
                *loaded = (*loaded).max(*number);
            }
        }
        for event in 0..self.history.now() {
            if dead.contains(&(self.history.events[event as usize].thread as usize)) {
                self.history.see(event);
            }
        }
    }

    /// Lets a thread end without a fence. The caches keep the part of a copy that it has made.
    fn dies(&mut self, thread: usize) {
        self.copy_returns(thread);
        let now = self.history.now();
        let of_process = self.thread(thread);
        of_process.killed = now;
        of_process.pending.clear();
        of_process.streamed.clear();
    }

    /// Adds a kill to the history, unless one has just happened.
    fn is_killed(&mut self, thread: usize, place: Place) {
        let last = self.history.events.last();
        if last.is_none_or(|last| (last.what, last.thread as usize) != (What::Kill, thread)) {
            self.happened(thread, What::Kill, place);
        }
    }

    /// Returns the words that some threads stored, each with the number of stores up to the last of theirs.
    fn last_stores(&self, threads: &[usize]) -> Vec<((usize, usize), u32)> {
        let mut last = Vec::new();
        for (line, orders) in self.orders.iter().enumerate() {
            let words = orders.iter().flat_map(|orders| orders.stamps.iter().enumerate());
            last.extend(words.filter_map(|(word, stamps)| {
                let number = stamps.iter().rposition(|stamp| threads.contains(&stamp.thread))?;
                Some(((line, word), number as u32 + 1))
            }));
        }
        last
    }

    /// Lets further threads begin behind all that this one has done and seen: the operating system, which starts them,
    /// executes barriers.
    pub(crate) fn starts_threads(&mut self, thread: usize) {
        let ordered = self.thread(thread).ordered.handed_on();
        self.newborn = Thread { fenced: self.history.now(), ordered, ..Thread::default() };
    }

    /// Lets a thread go on behind others that have ended, as an acquire of the end of each does.
    pub(crate) fn joins(&mut self, thread: usize, ended: Range<usize>) {
        for other in ended {
            let of_other = self.thread(other).ordered.handed_on();
            self.thread(thread).ordered.follow(&of_other);
        }
    }

    /// Returns the size of the memory.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn into_history(self) -> History {
        self.history
    }

    fn store_word(&mut self, thread: usize, word: (u64, u64), store: Store, place: Place) {
        self.store_words(thread, (&[word], word.0..word.0 + WORD), store, place);
    }

    /// Adds an event to the history; returns its number.
    pub(crate) fn happened(&mut self, thread: usize, what: What, place: Place) -> u32 {
        let event = self.history.now();
        let thread = thread as u32;
        self.history.events.push(Happened {
            thread,
            what,
            place,
            guarantees: false,
            seen: None,
            reader: None,
        });
        event
    }

    /// Returns a thread, which begins with its first instruction.
    fn thread(&mut self, thread: usize) -> &mut Thread {
        if self.threads.len() <= thread {
            self.threads.resize(thread + 1, self.newborn.clone());
        }
        &mut self.threads[thread]
    }

    /// Notes the stores that the workload never made persistent.
    pub(crate) fn end(&mut self) {
        let events = &self.history.events;
        for (_, stores) in self.history.stored() {
            never_persisted(stores, events, &mut self.waste);
        }
    }
}

fn never_persisted(stores: &Line, events: &[Happened], waste: &mut Waste) {
    for word in 0..stores.len() {
        if let Some(last) = stores.open_store(word) {
            waste.found(Kind::NeverPersisted, events[last as usize].place);
        }
    }
}
