//! A machine that executes instructions of a few threads, one at a time, and remembers what each line may
//! hold after a crash.
//!
//! [`SimMedium`](super::SimMedium) is made of it. It is public for litmus tests, which are written in
//! instructions of numbered threads.

pub(crate) mod history;
pub(crate) mod model;
mod ordered;
pub mod waste;

use history::{Bounds, Counts, Happened, History, Line, What, Write};
use model::{Durable, Model, Order, Streaming, WORD};
use ordered::{Ordered, Stamp};
use waste::{Kind, Waste};

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::Ordering;
use std::collections::HashMap;

/// Where in the source an instruction stands.
pub(crate) type Place = &'static Location<'static>;

/// How a store is ordered with other stores of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// One word.
    Ordinary { releases: bool },
    /// Words in any order among themselves, all after the stores before and before the stores after.
    Copy,
    /// Words in any order, also with other stores, until the thread fences; otherwise ordinary stores.
    Scattered,
    /// The same, past the caches.
    Streaming,
}

impl Store {
    /// Its place in the order is open until the next fence.
    const fn is_open(self) -> bool {
        matches!(self, Self::Scattered | Self::Streaming)
    }
}

/// A store that a fence has yet to order or to complete.
#[derive(Clone, Debug)]
struct Open {
    line: usize,
    word: usize,
    number: u32,
    stamp: Stamp,
}

/// A thread's part of the state.
#[derive(Clone, Debug, Default)]
struct Thread {
    /// Lines that it wrote back and did not fence, with the stores that were made by then.
    pending: Vec<(usize, Counts)>,
    /// Its stores whose order is open.
    open: Vec<Open>,
    /// Its streaming stores that no fence has completed.
    streamed: Vec<Open>,
    ordered: Ordered,
    /// The events before its last fence or barrier.
    fenced: u32,
    /// Stores of other threads that it loaded: by line and word, how many.
    loaded: HashMap<(usize, usize), u32>,
    /// Whether it stored since its last fence.
    has_stored: bool,
}

/// What the next stores of a line are ordered after.
#[derive(Clone, Debug)]
struct Orders {
    /// With total order: what an ordinary store needs.
    floor: Counts,
    /// Who stored each word, each time.
    stamps: Box<[Vec<Stamp>]>,
    /// Streaming stores that no fence has completed: word and number.
    streaming: Vec<(usize, u32)>,
}

/// A machine with a persistency model, as a litmus test drives it: instruction by instruction, in the
/// order in which they reach memory. Threads are numbered from 0.
///
/// ```
/// use cachemaint::sim::{Machine, Model};
/// use core::sync::atomic::Ordering::Relaxed;
///
/// // a = 1; clwb a; b = 1, with a and b in different lines.
/// let mut machine = Machine::new(Model::x86(), 128);
/// machine.store(0, 0, 1, Relaxed);
/// machine.writeback(0, 0..8);
/// machine.store(0, 64, 1, Relaxed);
/// // Without a fence b may survive alone: all four states.
/// assert_eq!(machine.outcomes(&[0, 64]).len(), 4);
/// ```
#[derive(Clone, Debug)]
pub struct Machine {
    history: History,
    orders: Vec<Option<Box<Orders>>>,
    threads: Vec<Thread>,
    /// The events before its threads began.
    born: u32,
    pub(crate) waste: Waste,
    bytes: u64,
}

impl Machine {
    /// A machine whose memory is so many bytes, all zeros and persistent.
    #[must_use]
    pub fn new(model: Model, bytes: u64) -> Self {
        let (history, waste) = (History::new(model), Waste::default());
        Self { history, orders: Vec::new(), threads: Vec::new(), born: 0, waste, bytes }
    }

    /// A store of a word; `order` is `Relaxed` or `Release`.
    #[track_caller]
    pub fn store(&mut self, thread: usize, at: u64, value: u64, order: Ordering) {
        let releases = order != Ordering::Relaxed;
        self.store_words(thread, &[(at, value)], Store::Ordinary { releases }, Location::caller());
    }

    /// A copy of whole words by ordinary stores, in no order among themselves (`memcpy`, `rep movsb`).
    #[track_caller]
    pub fn copy(&mut self, thread: usize, at: u64, words: &[u64]) {
        let words: Vec<_> = (at..).step_by(WORD as usize).zip(words.iter().copied()).collect();
        self.store_words(thread, &words, Store::Copy, Location::caller());
    }

    /// A store of a word past the caches (MOVNTI, STNP).
    #[track_caller]
    pub fn store_streaming(&mut self, thread: usize, at: u64, value: u64) {
        self.store_words(thread, &[(at, value)], Store::Streaming, Location::caller());
    }

    /// A load of a word that sees the latest store; `order` is `Relaxed` or `Acquire`.
    pub fn load(&mut self, thread: usize, at: u64, order: Ordering) -> u64 {
        self.load_stored(thread, at, order).unwrap_or(0)
    }

    /// A write-back that a fence completes: CLFLUSHOPT, CLWB, DC CVAP; on AMD also CLFLUSH.
    ///
    /// It has the thread's own stores, but for streaming ones that were not fenced. A store of another
    /// thread it has if this thread fenced in between; on x86 also if it loaded that store, or one that came
    /// after it, which a streaming store does only behind a fence; elsewhere if it loaded that store itself. For a
    /// load of one line and a write-back of another are not ordered on arm64, not by acquire either (Arm ARM,
    /// D7.5.9), and on x86 a write-back may overtake what is still in the other CPU's store buffer.
    #[doc(alias("clwb", "clflushopt", "DC CVAP"))]
    #[track_caller]
    pub fn writeback(&mut self, thread: usize, range: Range<u64>) {
        self.write_back(thread, range, false, Location::caller());
    }

    /// CLFLUSH, which takes effect in program order: what the thread stores later is persistent only if
    /// the line is. It is in the store buffer before, as a store is.
    #[doc(alias = "clflush")]
    #[track_caller]
    pub fn writeback_in_order(&mut self, thread: usize, range: Range<u64>) {
        self.write_back(thread, range, true, Location::caller());
    }

    /// SFENCE, MFENCE, DSB for loads and stores: completes what this thread wrote back, and orders its stores.
    #[doc(alias("sfence", "mfence", "dsb"))]
    #[track_caller]
    pub fn fence(&mut self, thread: usize) {
        self.complete(thread, Location::caller());
    }

    /// DMB: orders the thread's accesses and completes nothing. On x86 ordinary stores are in order anyway.
    #[doc(alias = "dmb")]
    #[track_caller]
    pub fn barrier(&mut self, thread: usize) {
        self.order(thread, Location::caller());
    }

    /// Carries out [`barrier`](Self::barrier).
    pub(crate) fn order(&mut self, thread: usize, place: Place) {
        self.happened(thread, What::Fence { completes: false }, place);
        self.order_open(thread);
        self.orders_all(thread);
    }

    /// A locked exchange of a word. On x86 it completes write-backs as SFENCE does; on arm64 a
    /// compare-and-exchange completes none.
    #[doc(alias("lock", "xchg", "cas"))]
    #[track_caller]
    pub fn exchange(&mut self, thread: usize, at: u64, value: u64, order: Ordering) -> u64 {
        if self.history.model.order == Order::Total {
            self.complete(thread, Location::caller());
        }
        let old = self.load(thread, at, order);
        let releases = order != Ordering::Relaxed;
        self.store_words(thread, &[(at, value)], Store::Ordinary { releases }, Location::caller());
        old
    }

    /// Another process goes on in place of all threads. What they did is ordered before what it does: the
    /// operating system sees to that. What they wrote back nobody completes.
    pub(crate) fn killed(&mut self) {
        for thread in 0..self.threads.len() {
            self.order_open(thread);
            self.orders_all(thread);
            let of_process = self.thread(thread);
            of_process.pending.clear();
            of_process.streamed.clear();
        }
        self.born = self.history.now();
    }

    /// The size of its memory.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn into_history(self) -> History {
        self.history
    }

    /// The latest store of a word, if there is one.
    pub(crate) fn load_stored(&mut self, thread: usize, at: u64, order: Ordering) -> Option<u64> {
        let (line, word) = self.history.model.place(at);
        let writes = self.history.line(line)?.writes(word);
        let (number, last) = (writes.len() as u32, writes.last()?.value);
        let stamp = self.orders[line].as_ref().and_then(|orders| orders.stamps[word].last());
        if let Some(stamp) = stamp.filter(|stamp| stamp.thread != thread).cloned() {
            // On x86 each load acquires.
            let acquires = order != Ordering::Relaxed || self.history.model.order == Order::Total;
            let own = self.thread(thread);
            own.ordered.load(acquires, &stamp);
            own.loaded.insert((line, word), number);
        }
        Some(last)
    }

    /// Stores words, as one event.
    pub(crate) fn store_words(
        &mut self,
        thread: usize,
        words: &[(u64, u64)],
        store: Store,
        place: Place,
    ) {
        let (Some((at, _)), Some((last, _))) = (words.first(), words.last()) else { return };
        let streaming = store == Store::Streaming;
        let event = self.history.now();
        self.happened(thread, What::Store { at: *at, len: last - at + WORD, streaming }, place);
        self.thread(thread).has_stored = true;
        let needs: Vec<_> = words.iter().map(|(at, _)| self.needs(thread, *at, store)).collect();
        for ((at, value), (needs, stamp)) in words.iter().zip(needs) {
            let (line, word) = self.history.model.place(*at);
            let stores = self.history.line_to_store(line);
            let (number, overwritten) = (stores.writes(word).len() as u32, stores.open_store(word));
            stores.push(word, Write { value: *value, event, needs });
            if let Some(before) = overwritten {
                self.waste.found(Kind::Overwritten, self.history.events[before as usize].place);
            }
            self.is_stored(thread, Open { line, word, number, stamp }, store);
        }
        let (first, end) = (self.history.model.place(*at).0, self.history.model.place(*last).0 + 1);
        match self.history.model.durable {
            Durable::Visible if streaming => {}
            Durable::Visible | Durable::Executed => self.is_visible(first..end, thread, place),
            Durable::Completed | Durable::Returned => {}
        }
    }

    /// What a store needs of the other words of its line, and its stamp.
    fn needs(&mut self, thread: usize, at: u64, store: Store) -> (Counts, Stamp) {
        let order = self.history.model.order;
        let (line, word) = self.history.model.place(at);
        let stamp = self.stamp(thread, line, word, store);
        let Some(orders) = &self.orders[line] else { return (Counts::default(), stamp) };
        let needs = match order {
            Order::None => Counts::default(),
            Order::Partial => orders.before(&stamp),
            Order::Total if store.is_open() => {
                // Those of the store before, so that needs grow.
                let stores = self.history.line(line).map(|line| line.writes(word));
                stores
                    .and_then(<[Write]>::last)
                    .map(|write| write.needs.clone())
                    .unwrap_or_default()
            }
            Order::Total => orders.floor.clone(),
        };
        (needs, stamp)
    }

    fn stamp(&mut self, thread: usize, line: usize, word: usize, store: Store) -> Stamp {
        let words = self.history.model.words();
        if self.orders.len() <= line {
            self.orders.resize_with(line + 1, || None);
        }
        let orders = self.orders[line].get_or_insert_with(|| Box::new(Orders::new(words)));
        let previous = orders.stamps[word].last().cloned();
        // On x86 each store releases, but for those that are in no order with other stores.
        let is_total = self.history.model.order == Order::Total;
        let releases = store == Store::Ordinary { releases: true } || is_total && !store.is_open();
        self.thread(thread).ordered.store(thread, releases, previous.as_ref())
    }

    /// A store was made: what later ones are ordered after.
    fn is_stored(&mut self, thread: usize, open: Open, store: Store) {
        let Some(orders) = &mut self.orders[open.line] else { return };
        orders.stamps[open.word].push(open.stamp.clone());
        if !store.is_open() {
            orders.floor[open.word] = open.number + 1;
            // Not before all words of a copy have their stamps: they are in no order.
            self.thread(thread).ordered.see(&open.stamp);
            return;
        }
        if store == Store::Streaming {
            orders.streaming.push((open.word, open.number));
            self.thread(thread).streamed.push(open.clone());
        }
        self.thread(thread).open.push(open);
    }

    /// Ordinary stores have left the store buffer, or are sure to.
    fn is_visible(&mut self, lines: Range<usize>, thread: usize, place: Place) {
        let event = self.happened(thread, What::Visible, place);
        for line in lines {
            let counts = match self.history.model.durable {
                Durable::Executed => self.history.line(line).map(Line::counts),
                _ => Some(self.covered(line, |_, _| true)),
            };
            self.guarantee(event, line, &counts.unwrap_or_default());
        }
    }

    /// The stores of a line that a write-back of a thread has: see [`writeback`](Self::writeback).
    fn written_back_by(&mut self, thread: usize, line: usize) -> Counts {
        if self.history.model.durable == Durable::Returned {
            return self.covered(line, |_, _| true);
        }
        let own = core::mem::take(self.thread(thread));
        let is_total = self.history.model.order == Order::Total;
        let covered = self.covered(line, |(word, number), stamp| {
            let stores = self.history.line(line).map(|line| line.writes(word));
            let is_fenced = stores.is_some_and(|stores| stores[number as usize].event < own.fenced);
            let is_loaded = own.loaded.get(&(line, word)).is_some_and(|loaded| *loaded > number);
            let is_own = stamp.thread == thread;
            is_own || is_fenced || is_loaded || is_total && own.ordered.has_loaded(stamp)
        });
        *self.thread(thread) = own;
        covered
    }

    /// The stores of a line that are known, with all that they need; not the streaming ones that no fence
    /// has completed.
    fn covered(&self, line: usize, is_known: impl Fn((usize, u32), &Stamp) -> bool) -> Counts {
        let (Some(stores), Some(orders)) = (self.history.line(line), &self.orders[line]) else {
            return Counts::default();
        };
        let known = |word: usize| {
            let is_one = |number: &u32| {
                let stamp = &orders.stamps[word][*number as usize];
                !orders.streaming.contains(&(word, *number)) && is_known((word, *number), stamp)
            };
            (0..stores.made(word, u32::MAX)).rev().find(is_one).map_or(0, |number| number + 1)
        };
        let low = (0..stores.len()).map(known).collect();
        Bounds::of(low, stores).low
    }

    /// Writes the lines of a range back.
    pub(crate) fn write_back(
        &mut self,
        thread: usize,
        range: Range<u64>,
        in_order: bool,
        place: Place,
    ) {
        let (start, end) = (range.start, range.end);
        let event = self.happened(thread, What::Writeback { start, end, in_order }, place);
        if matches!(self.history.model.durable, Durable::Visible | Durable::Executed) {
            // The medium has nothing to write back, and does nothing.
            return;
        }
        if start >= end {
            return self.waste.found(Kind::NothingToWriteBack, place);
        }
        let mut is_useful = false;
        for line in self.history.model.lines(start, end) {
            if self.history.line(line).is_some() {
                is_useful |= self.write_back_line(thread, line, in_order, event);
            }
        }
        if !is_useful {
            self.waste.found(Kind::NothingToWriteBack, place);
        }
    }

    /// Whether there was anything to write back.
    fn write_back_line(&mut self, thread: usize, line: usize, in_order: bool, event: u32) -> bool {
        let covered = self.written_back_by(thread, line);
        let is_in = |had: &[u32]| covered.iter().zip(had).all(|(count, had)| count <= had);
        let is_pending = |(pending, had): &(usize, Counts)| *pending == line && is_in(had);
        if !in_order && self.thread(thread).pending.iter().any(is_pending) {
            return false;
        }
        if self.history.line(line).is_some_and(|stores| is_in(&stores.sure_at_end())) {
            return false;
        }
        match self.history.model.durable {
            Durable::Returned => self.guarantee(event, line, &covered),
            Durable::Completed if in_order => self.guarantee(event, line, &covered),
            Durable::Completed => self.thread(thread).pending.push((line, covered)),
            // These have no write-backs.
            Durable::Visible | Durable::Executed => {}
        }
        true
    }

    /// A fence of a thread.
    pub(crate) fn complete(&mut self, thread: usize, place: Place) {
        let event = self.happened(thread, What::Fence { completes: true }, place);
        let has_stored = core::mem::take(&mut self.thread(thread).has_stored);
        let pending = core::mem::take(&mut self.thread(thread).pending);
        let streamed = core::mem::take(&mut self.thread(thread).streamed);
        self.order_open(thread);
        let is_useful = match self.history.model.durable {
            Durable::Completed => !pending.is_empty() || !streamed.is_empty(),
            Durable::Visible => has_stored,
            Durable::Returned | Durable::Executed => true,
        };
        if !is_useful {
            self.waste.found(Kind::NothingToComplete, place);
        }
        for (line, covered) in pending {
            self.guarantee(event, line, &covered);
        }
        for store in streamed {
            self.is_evicted(event, &store);
        }
        self.orders_all(thread);
    }

    /// A fence of a thread that observes others outside of this memory, where its loads are not seen: it completes and
    /// orders the thread's own. What others have stored it orders only where a fence orders loads, on arm64.
    pub(crate) fn complete_own(&mut self, thread: usize, place: Place) {
        let fenced = self.thread(thread).fenced;
        self.complete(thread, place);
        if self.history.model.order != Order::Partial {
            self.thread(thread).fenced = fenced;
        }
    }

    /// All that the thread did, and all that others did before, is ordered before what it does now.
    fn orders_all(&mut self, thread: usize) {
        let now = self.history.now();
        let thread = self.thread(thread);
        thread.ordered.barrier();
        thread.fenced = now;
    }

    /// The thread's open stores have their place in the order now, before all later ones.
    fn order_open(&mut self, thread: usize) {
        let open = core::mem::take(&mut self.thread(thread).open);
        for open in &open {
            if let Some(orders) = &mut self.orders[open.line] {
                orders.floor[open.word] = orders.floor[open.word].max(open.number + 1);
                orders
                    .streaming
                    .retain(|(word, number)| (*word, *number) != (open.word, open.number));
            }
            self.thread(thread).ordered.see(&open.stamp);
        }
    }

    /// A fence has completed a store past the caches.
    fn is_evicted(&mut self, event: u32, open: &Open) {
        let is_durable = match self.history.model.durable {
            Durable::Completed => self.history.model.streaming == Streaming::Evicts,
            Durable::Visible => true,
            Durable::Returned | Durable::Executed => false,
        };
        if !is_durable {
            return;
        }
        let Some(stores) = self.history.line(open.line) else { return };
        let mut counts: Counts = vec![0; stores.len()].into();
        for (count, need) in
            counts.iter_mut().zip(&stores.writes(open.word)[open.number as usize].needs)
        {
            *count = *need;
        }
        counts[open.word] = open.number + 1;
        self.guarantee(event, open.line, &counts);
    }

    /// From an event on these stores are sure to survive.
    fn guarantee(&mut self, event: u32, line: usize, counts: &[u32]) {
        if let Some(stores) = self.history.line_mut(line)
            && stores.guarantee(event + 1, counts)
        {
            self.history.events[event as usize].guarantees = true;
        }
    }

    /// Something happened; returns its number.
    pub(crate) fn happened(&mut self, thread: usize, what: What, place: Place) -> u32 {
        let event = self.history.now();
        let thread = thread as u32;
        self.history.events.push(Happened { thread, what, place, guarantees: false });
        event
    }

    fn thread(&mut self, thread: usize) -> &mut Thread {
        if self.threads.len() <= thread {
            let fenced = self.born;
            self.threads.resize_with(thread + 1, || Thread { fenced, ..Thread::default() });
        }
        &mut self.threads[thread]
    }

    /// What the workload left behind that was never made persistent.
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

impl Orders {
    fn new(words: usize) -> Self {
        Self {
            floor: vec![0; words].into(),
            stamps: (0..words).map(|_| Vec::new()).collect(),
            streaming: Vec::new(),
        }
    }

    /// How many stores of each word are ordered before a stamp.
    fn before(&self, stamp: &Stamp) -> Counts {
        let before = |stamps: &Vec<Stamp>| {
            let last = stamps.iter().rposition(|other| stamp.before.has(other.thread, other.store));
            last.map_or(0, |last| last as u32 + 1)
        };
        let needs: Counts = self.stamps.iter().map(before).collect();
        // None is the usual case, and the fast one.
        if needs.iter().all(|need| *need == 0) { Counts::default() } else { needs }
    }
}
