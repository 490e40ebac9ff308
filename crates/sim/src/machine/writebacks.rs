//! Write-backs and fences: they make stores persistent, and order them.

use super::history::{Bounds, Counts, What};
use super::model::{Durable, Order, Streaming};
use super::ordered::Stamp;
use super::state::Open;
use super::waste::Kind;
use super::{Machine, Place};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

impl Machine {
    /// Carries out [`barrier`](Self::barrier).
    pub(crate) fn order(&mut self, thread: usize, place: Place) {
        self.happened(thread, What::Fence { completes: false }, place);
        self.order_open(thread);
        self.orders_all(thread);
    }

    /// Returns the stores of a line that a thread's write-back includes: see [`writeback`](Self::writeback).
    fn written_back_by(&mut self, thread: usize, line: usize) -> Counts {
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

    /// Returns the known stores of a line, with everything that they need, except those that may not be in the caches
    /// yet.
    pub(super) fn covered(
        &self,
        line: usize,
        is_known: impl Fn((usize, u32), &Stamp) -> bool,
    ) -> Counts {
        let (Some(stores), Some(orders)) = (self.history.line(line), &self.orders[line]) else {
            return Counts::default();
        };
        let known = |word: usize| {
            let is_one = |number: &u32| {
                let stamp = &orders.stamps[word][*number as usize];
                !orders.hidden.contains(&(word, *number)) && is_known((word, *number), stamp)
            };
            (0..stores.made(word, u32::MAX)).rev().find(is_one).map_or(0, |number| number + 1)
        };
        let low = (0..stores.len()).map(known).collect();
        Bounds::of(low, stores).low
    }

    pub(crate) fn write_back(
        &mut self,
        thread: usize,
        range: Range<u64>,
        in_order: bool,
        place: Place,
    ) {
        let (start, end) = (range.start, range.end);
        let event = self.happened(thread, What::Writeback { start, end, in_order }, place);
        if self.history.model.durable.keeps_caches() {
            // The medium has nothing to write back, and does nothing.
            return;
        }
        if start >= end {
            return self.waste.found(Kind::NothingToWriteBack, place);
        }
        let mut is_useful = false;
        for line in self.history.model.lines(start, end) {
            if self.history.line(line).is_some() {
                let covered = self.covered_by(thread, line, start..end);
                is_useful |= self.write_back_line(thread, (line, covered), in_order, event);
            }
        }
        if !is_useful {
            self.waste.found(Kind::NothingToWriteBack, place);
        }
    }

    /// Returns the stores of a line that a thread's write-back of a range includes.
    fn covered_by(&mut self, thread: usize, line: usize, range: Range<u64>) -> Counts {
        let mut covered = self.written_back_by(thread, line);
        let model = self.history.model;
        if model.is_exact() {
            let bytes = model.written_back(range.start, range.end);
            for (word, count) in covered.iter_mut().enumerate() {
                if !bytes.contains(&model.offset(line, word)) {
                    *count = 0;
                }
            }
        }
        covered
    }

    /// Writes back stores of a line. Returns true if there was anything to write back.
    fn write_back_line(
        &mut self,
        thread: usize,
        (line, covered): (usize, Counts),
        in_order: bool,
        event: u32,
    ) -> bool {
        let is_in = |had: &[u32]| covered.iter().zip(had).all(|(count, had)| count <= had);
        let pending = self.thread(thread).pending.get(&line);
        if !in_order && pending.is_some_and(|had| is_in(had)) {
            return false;
        }
        if self.history.line(line).is_some_and(|stores| is_in(&stores.sure_at_end())) {
            return false;
        }
        match self.history.model.durable {
            Durable::Completed if in_order => self.guarantee(event, line, &covered),
            Durable::Completed => self.note_pending(thread, line, covered),
            // These models have no write-backs.
            Durable::Visible | Durable::Executed => {}
        }
        true
    }

    /// Records that a fence completes the write-back of stores of a line.
    fn note_pending(&mut self, thread: usize, line: usize, mut covered: Counts) {
        let pending = &mut self.thread(thread).pending;
        for (count, had) in covered.iter_mut().zip(pending.get(&line).into_iter().flatten()) {
            *count = (*count).max(*had);
        }
        pending.insert(line, covered);
    }

    pub(crate) fn complete(&mut self, thread: usize, place: Place) {
        let event = self.happened(thread, What::Fence { completes: true }, place);
        let has_stored = core::mem::take(&mut self.thread(thread).has_stored);
        let pending = core::mem::take(&mut self.thread(thread).pending);
        let streamed = core::mem::take(&mut self.thread(thread).streamed);
        self.order_open(thread);
        let is_useful = match self.history.model.durable {
            // With byte granularity only the fence persists, except in a deep persist.
            Durable::Completed | Durable::Visible if !self.history.model.writes_back() => {
                has_stored || !pending.is_empty()
            }
            Durable::Completed | Durable::Visible => !pending.is_empty() || !streamed.is_empty(),
            Durable::Executed => true,
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

    /// Executes a fence of a thread that observes others outside of this memory, where its loads are not seen. It
    /// completes and orders the thread's own stores. It orders the stores of others only on arm64, where a fence orders
    /// loads.
    pub(crate) fn complete_own(&mut self, thread: usize, place: Place) {
        let fenced = self.thread(thread).fenced;
        self.complete(thread, place);
        if self.history.model.order != Order::Partial {
            self.thread(thread).fenced = fenced;
        }
    }

    /// Orders all earlier operations of the thread, and earlier ones of others, before its later ones.
    pub(super) fn orders_all(&mut self, thread: usize) {
        let now = self.history.now();
        let thread = self.thread(thread);
        thread.ordered.barrier();
        thread.fenced = now;
    }

    /// Lets a copy of scattered words return: later stores of the thread are ordered after them, and publish them by a
    /// release. Until then any of them may be missing, even if the caches survive.
    pub(crate) fn copy_returns(&mut self, thread: usize) {
        let copied = self.order_open(thread);
        if self.history.model.durable.keeps_caches() {
            self.are_visible(thread, &copied);
        }
    }

    /// Records that the stores of a copy are in the caches.
    fn are_visible(&mut self, thread: usize, copied: &[Open]) {
        let event = |store: &Open| {
            let stores = self.history.line(store.line)?;
            Some(stores.writes(store.word)[store.number as usize].event)
        };
        let events: Vec<_> = copied.iter().filter_map(event).collect();
        let Some(since) = events.first().copied() else { return };
        for event in events {
            // A word that was found earlier has its own event, and other words of the same part may still be in the
            // buffer.
            self.history.events[event as usize].seen = None;
        }
        let mut lines: Vec<_> = copied.iter().map(|store| store.line).collect();
        lines.dedup();
        self.is_visible(lines, thread, since);
    }

    /// Gives the thread's open stores their place in the order now, before all later ones, and returns them.
    pub(super) fn order_open(&mut self, thread: usize) -> Vec<Open> {
        let open = core::mem::take(&mut self.thread(thread).open);
        for open in &open {
            let Some(orders) = &mut self.orders[open.line] else { continue };
            orders.floor[open.word] = orders.floor[open.word].max(open.number + 1);
            orders.hidden.retain(|(word, number)| (*word, *number) != (open.word, open.number));
            let stamps = &orders.stamps[open.word][..=open.number as usize];
            self.threads[thread].ordered.see(stamps);
        }
        open
    }

    /// Records that a fence has completed a store past the caches.
    fn is_evicted(&mut self, event: u32, open: &Open) {
        let is_durable = match self.history.model.durable {
            Durable::Completed => self.history.model.streaming == Streaming::Evicts,
            Durable::Visible => true,
            Durable::Executed => false,
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

    /// Records that these stores are sure to survive from an event on.
    pub(super) fn guarantee(&mut self, event: u32, line: usize, counts: &[u32]) {
        if let Some(stores) = self.history.line_mut(line)
            && stores.guarantee(event + 1, counts)
        {
            self.history.events[event as usize].guarantees = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::machine::history::Line;
    use crate::{Machine, Model};
    use core::sync::atomic::Ordering::Relaxed;

    /// Searching all pending lines for each would take minutes.
    #[test]
    fn many_dirty_lines_are_written_back_at_once() {
        let bytes = 64 * 100_000;
        let mut machine = Machine::new(Model::X86, bytes);
        (0..bytes).step_by(64).for_each(|at| machine.store(0, at, 1, Relaxed));
        machine.writeback(0, 0..bytes);
        machine.fence(0);
        let is_sure = |(_, line): (usize, &Line)| line.sure(0, u32::MAX) == 1;
        assert!(machine.history().stored().all(is_sure));
    }
}
