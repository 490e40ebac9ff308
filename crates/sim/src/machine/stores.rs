//! Loads and stores: each store gets its place in the order.

use super::history::{Counts, Happened, Reader, What, Write};
use super::model::{Durable, Order, WORD};
use super::ordered::Stamp;
use super::state::{Open, Orders, Store};
use super::waste::Kind;
use super::{Machine, Place};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

impl Machine {
    /// Returns the latest store of a word, if there is one.
    pub(crate) fn load_stored(
        &mut self,
        thread: usize,
        at: u64,
        order: Ordering,
        place: Place,
    ) -> Option<u64> {
        let (line, word) = self.history.model.place(at);
        let writes = self.history.line(line)?.writes(word);
        let (number, last) = (writes.len() as u32, writes.last()?);
        let (value, event) = (last.value, last.event);
        let stamp = self.orders[line].as_ref().and_then(|orders| orders.stamps[word].last());
        let is_other = stamp.is_some_and(|stamp| stamp.thread != thread);
        if is_other || self.threads.get(thread).is_some_and(|own| event < own.killed) {
            let reader = Reader { at: self.history.now(), thread: thread as u32, place };
            self.history.events[event as usize].reader.get_or_insert(reader);
        }
        if is_other {
            // On x86 each load acquires.
            let acquires = order != Ordering::Relaxed || self.history.model.order == Order::Total;
            self.is_loaded(thread, (line, word, number - 1), acquires);
            self.history.see(event);
            self.is_found((line, word, number - 1), event);
        }
        Some(value)
    }

    /// Stores bytes as one event: the words that contain them, with their other bytes unchanged.
    pub(crate) fn store_words(
        &mut self,
        thread: usize,
        (words, bytes): (&[(u64, u64)], Range<u64>),
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
            let (number, bytes) = (stores.writes(word).len() as u32, part(*at, &bytes));
            let overwritten = stores.overwrite(word, bytes);
            stores.push(word, Write { value: *value, event, needs, bytes });
            for before in overwritten {
                self.waste.found(Kind::Overwritten, self.history.events[before as usize].place);
            }
            self.is_stored(thread, Open { line, word, number }, stamp, store);
        }
        let (first, end) = (self.history.model.place(*at).0, self.history.model.place(*last).0 + 1);
        if self.history.model.durable.keeps_caches() && !self.is_hidden(store) {
            self.is_visible(first..end, thread, event);
        }
    }

    /// Returns the stores to the other words of its line that a store needs, and its stamp.
    fn needs(&mut self, thread: usize, at: u64, store: Store) -> (Counts, Stamp) {
        let order = self.history.model.order;
        let (line, word) = self.history.model.place(at);
        let stamp = self.stamp(thread, line, store);
        let Some(orders) = &self.orders[line] else { return (Counts::default(), stamp) };
        // Needs grow: each store to a word inherits those of the previous one.
        let previous = || {
            let stores = self.history.line(line).map(|line| line.writes(word));
            stores.and_then(<[Write]>::last).map(|write| write.needs.clone()).unwrap_or_default()
        };
        let needs = match order {
            Order::None => Counts::default(),
            Order::Partial => orders.before(&stamp, word, previous()),
            Order::Total if store.is_open() => previous(),
            Order::Total => orders.floor.clone(),
        };
        (needs, stamp)
    }

    fn stamp(&mut self, thread: usize, line: usize, store: Store) -> Stamp {
        let words = self.history.model.words();
        if self.orders.len() <= line {
            self.orders.resize_with(line + 1, || None);
        }
        self.orders[line].get_or_insert_with(|| Box::new(Orders::new(words)));
        // On x86 each store releases, except those in no order with other stores.
        let releases = match self.history.model.order {
            // Nothing uses the order.
            Order::None => return Stamp { thread, ..Stamp::default() },
            Order::Total if !store.is_open() => true,
            Order::Total | Order::Partial => store == Store::Ordinary { releases: true },
        };
        self.thread(thread).ordered.store(thread, releases)
    }

    /// Records a store, after which later ones are ordered.
    fn is_stored(&mut self, thread: usize, open: Open, stamp: Stamp, store: Store) {
        let is_hidden = self.is_hidden(store);
        let Some(orders) = &mut self.orders[open.line] else { return };
        orders.stamps[open.word].push(stamp);
        if !store.is_open() {
            orders.floor[open.word] = open.number + 1;
            // Only after all words of a copy have their stamps: they are in no order.
            self.threads[thread].ordered.see(&orders.stamps[open.word]);
            return;
        }
        if is_hidden {
            orders.hidden.push((open.word, open.number));
        }
        if store == Store::Streaming {
            self.threads[thread].streamed.push(open);
        }
        self.threads[thread].open.push(open);
    }

    /// Returns true if a store may not be in the caches at first.
    fn is_hidden(&self, store: Store) -> bool {
        let durable = self.history.model.durable;
        match store {
            Store::Ordinary { .. } | Store::Copy => false,
            Store::Scattered | Store::Unordered => durable.keeps_caches(),
            Store::Streaming => durable != Durable::Executed,
        }
    }

    /// Orders a thread after another thread's store that it has loaded.
    fn is_loaded(
        &mut self,
        thread: usize,
        (line, word, number): (usize, usize, u32),
        acquires: bool,
    ) {
        let mut own = core::mem::take(self.thread(thread));
        if let Some(orders) = &self.orders[line] {
            own.ordered.load(acquires, &orders.stamps[word][..=number as usize]);
        }
        own.loaded.insert((line, word), number + 1);
        *self.thread(thread) = own;
    }

    /// Records that another thread has found a store in the caches, which may belong to a copy that has not returned. A
    /// store past the caches may still be in a CPU buffer.
    fn is_found(&mut self, (line, word, number): (usize, usize, u32), event: u32) {
        let Happened { what, thread, .. } = self.history.events[event as usize];
        let Some(orders) = &mut self.orders[line] else { return };
        let hidden = orders.hidden.iter().position(|store| *store == (word, number));
        if let (Some(hidden), What::Store { streaming: false, .. }) = (hidden, what) {
            orders.hidden.swap_remove(hidden);
            let found = self.is_visible([line], thread as usize, event);
            self.history.see(found);
        }
    }

    /// Records that ordinary stores from an event on have left the store buffer, or are sure to. Returns the event for
    /// that.
    pub(super) fn is_visible(
        &mut self,
        lines: impl IntoIterator<Item = usize>,
        thread: usize,
        since: u32,
    ) -> u32 {
        let place = self.history.events[since as usize].place;
        let event = self.happened(thread, What::Visible { since }, place);
        for line in lines {
            let counts = self.covered(line, |_, _| true);
            self.guarantee(event, line, &counts);
        }
        event
    }
}

/// Returns the bytes of the word at `at` that are in a range.
fn part(at: u64, range: &Range<u64>) -> u8 {
    let place = |byte: u64| byte.saturating_sub(at).min(WORD);
    let first = |count: u64| (1_u16 << count) - 1;
    (first(place(range.end)) - first(place(range.start))) as u8
}
