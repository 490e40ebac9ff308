//! A machine that executes instructions of a few threads, one at a time, and tracks the possible contents of each line
//! after a crash.
//!
//! [`SimMedium`](super::SimMedium) uses it. It is public for litmus tests, which consist of instructions of numbered
//! threads.

pub(crate) mod history;
pub(crate) mod model;
mod ordered;
pub(crate) mod state;
mod stores;
pub mod waste;
mod writebacks;

use history::{Happened, History, What};
use model::{Model, Order, WORD};
use state::{Orders, Store, Thread};
use waste::{Kind, Waste};

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::Ordering;

/// The place of an instruction in the source.
pub(crate) type Place = &'static Location<'static>;

/// A machine with a persistency model. A litmus test drives it instruction by instruction, in the order in which they
/// reach memory. Threads are numbered from 0.
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
/// // Without a fence b may survive without a: all four states.
/// assert_eq!(machine.outcomes(&[0, 64]).len(), 4);
/// ```
///
/// Hidden, since it is for tests of the models and can change in any version.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Machine {
    history: History,
    orders: Vec<Option<Box<Orders>>>,
    threads: Vec<Thread>,
    /// The state of a thread that begins now.
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

    /// Copies whole words by ordinary stores, in no order among each other (`memcpy`, `rep movsb`).
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
    /// It includes the thread's own stores, except for unfenced streaming ones. It includes a store of another thread
    /// if this thread fenced in between. On x86 it also includes that store if this thread loaded it or a later one; a
    /// streaming store counts as later only after a fence. Elsewhere this thread must have loaded that store itself,
    /// since on arm64 a load of one line and a write-back of another are not ordered, not even by acquire (Arm ARM,
    /// D7.5.9). On x86 a write-back may overtake stores that are still in the other CPU's store buffer.
    #[doc(alias("clwb", "clflushopt", "DC CVAP"))]
    #[track_caller]
    pub fn writeback(&mut self, thread: usize, range: Range<u64>) {
        self.write_back(thread, range, false, Location::caller());
    }

    /// Issues CLFLUSH, which takes effect in program order: later stores of the thread are persistent only if the line
    /// is. Before that it is in the store buffer, like a store.
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

    /// Lets another process continue in place of all threads. The operating system orders its operations after theirs.
    /// The caches keep the part of a copy that was made. Pending write-backs are never completed.
    pub(crate) fn killed(&mut self, place: Place) {
        for thread in 0..self.threads.len() {
            self.copy_returns(thread);
            let now = self.history.now();
            let of_process = self.thread(thread);
            of_process.killed = now;
            of_process.pending.clear();
            of_process.streamed.clear();
            self.orders_all(thread);
        }
        self.newborn.fenced = self.history.now();
        if self.history.events.last().is_none_or(|last| last.what != What::Kill) {
            self.happened(0, What::Kill, place);
        }
        (0..self.history.now()).for_each(|event| self.history.see(event));
    }

    /// Lets further threads begin after everything that this one has done and seen: the operating system that starts
    /// them executes barriers.
    pub(crate) fn starts_threads(&mut self, thread: usize) {
        let ordered = self.thread(thread).ordered.handed_on();
        self.newborn = Thread { fenced: self.history.now(), ordered, ..Thread::default() };
    }

    /// Lets a thread continue after others that have ended, as an acquire of each end does.
    pub(crate) fn joins(&mut self, thread: usize, ended: Range<usize>) {
        for other in ended {
            let of_other = self.thread(other).ordered.handed_on();
            self.thread(thread).ordered.follow(&of_other);
        }
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of threads that have begun, in all processes.
    #[cfg(feature = "histories")]
    pub(crate) const fn threads(&self) -> usize {
        self.threads.len()
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

    /// Returns a thread, and creates it at its first instruction.
    fn thread(&mut self, thread: usize) -> &mut Thread {
        if self.threads.len() <= thread {
            self.threads.resize(thread + 1, self.newborn.clone());
        }
        &mut self.threads[thread]
    }

    pub(crate) fn end(&mut self) {
        for (_, stores) in self.history.stored() {
            for last in (0..stores.len()).filter_map(|word| stores.open_store(word)) {
                self.waste.found(Kind::NeverPersisted, self.history.events[last as usize].place);
            }
        }
    }
}
