//! The order of stores, if program order does not order them.

use alloc::vec::Vec;

/// A set of stores. The stores of each thread are numbered; most sets hold all of a thread's first stores, and a few
/// more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stores {
    /// For each thread, the number of its first stores in the set.
    first: Vec<u32>,
    /// Further stores: thread and number, in order.
    further: Vec<(usize, u32)>,
}

impl Stores {
    pub(crate) fn has(&self, thread: usize, store: u32) -> bool {
        self.first(thread) > store || self.further.binary_search(&(thread, store)).is_ok()
    }

    fn first(&self, thread: usize) -> u32 {
        self.first.get(thread).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, thread: usize, store: u32) {
        if self.has(thread, store) {
            return;
        }
        if self.first(thread) < store {
            let place = self.further.partition_point(|further| *further < (thread, store));
            return self.further.insert(place, (thread, store));
        }
        self.raise(thread, store + 1);
    }

    /// Adds all of a thread's first stores up to a number.
    fn raise(&mut self, thread: usize, stores: u32) {
        if self.first.len() <= thread {
            self.first.resize(thread + 1, 0);
        }
        let mut first = self.first[thread].max(stores);
        self.further.retain(|(other, store)| {
            let continues = *other == thread && *store == first;
            first += u32::from(continues);
            *other != thread || *store > first
        });
        self.first[thread] = first;
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (thread, stores) in other.first.iter().enumerate() {
            if *stores > self.first(thread) {
                self.raise(thread, *stores);
            }
        }
        for (thread, store) in &other.further {
            self.add(*thread, *store);
        }
    }

    /// Adds the stores of a word, with everything ordered before them.
    fn add_word(&mut self, word: &[Stamp]) {
        for stamp in word.iter().rev() {
            // A set with a store also has everything ordered before it.
            if self.has(stamp.thread, stamp.store) {
                return;
            }
            self.join(&stamp.before);
            self.add(stamp.thread, stamp.store);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.further.is_empty()
    }
}

/// A store, and the stores that its thread has ordered before it. The earlier stamps of its word, with everything
/// before them, precede it too. They are not copied into it, so that many stores to a word take little memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp {
    pub(crate) thread: usize,
    pub(crate) store: u32,
    pub(crate) before: Stores,
}

/// The stores that a thread's next store is ordered after.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ordered {
    stores: u32,
    /// The stores ordered before every later store.
    before: Stores,
    /// The stores that a release or a barrier would order before later stores: own stores, and stores of others that
    /// were read.
    seen: Stores,
    /// The stores that loads have shown to be in memory.
    loaded: Stores,
}

impl Ordered {
    /// Adds a store of a thread. It counts for later stores once it is [seen](Self::see).
    pub(crate) fn store(&mut self, thread: usize, releases: bool) -> Stamp {
        let before = if releases { self.seen.clone() } else { self.before.clone() };
        self.stores += 1;
        Stamp { thread, store: self.stores - 1, before }
    }

    /// Adds a load that read the last of these stores of a word.
    pub(crate) fn load(&mut self, acquires: bool, word: &[Stamp]) {
        self.see(word);
        self.loaded.add_word(word);
        if acquires {
            self.before.add_word(word);
        }
    }

    /// Returns the order of a thread that comes after everything that this one has done and seen.
    pub(crate) fn handed_on(&self) -> Self {
        let [before, seen, loaded] = [(); 3].map(|()| self.seen.clone());
        Self { stores: 0, before, seen, loaded }
    }

    /// Adds everything that another thread was ordered after.
    pub(crate) fn follow(&mut self, other: &Self) {
        self.before.join(&other.before);
        self.seen.join(&other.seen);
        self.loaded.join(&other.loaded);
    }

    /// Adds a barrier for all accesses.
    pub(crate) fn barrier(&mut self) {
        self.before = self.seen.clone();
    }

    /// Returns true if a load has shown this store to be in memory. A later store of this thread to the same word does
    /// not show that: it may be in the store buffer.
    pub(crate) fn has_loaded(&self, stamp: &Stamp) -> bool {
        self.loaded.has(stamp.thread, stamp.store)
    }

    /// Orders a later release or barrier after the last of these stores of a word.
    pub(crate) fn see(&mut self, word: &[Stamp]) {
        self.seen.add_word(word);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Machine, Model};
    use core::sync::atomic::Ordering::Relaxed;

    /// Otherwise the memory of a long history grows with the square of its length.
    #[test]
    fn no_store_of_a_word_holds_the_earlier_ones() {
        for model in [Model::ARM64, Model::NEUTRAL, Model::PAGES] {
            let mut machine = Machine::new(model, 128);
            for value in 0..10 {
                machine.store(0, 64, value, Relaxed);
                machine.store(0, 0, value, Relaxed);
            }
            let words = machine.orders.iter().flatten().flat_map(|orders| &orders.stamps);
            let stamps = words.flatten();
            assert_eq!(stamps.filter(|stamp| !stamp.before.is_empty()).count(), 0, "{model}");
        }
    }

    /// Each store after a fence finds the earlier ones among all those of the other word by binary search, so this many
    /// take only a moment.
    #[test]
    fn stores_behind_a_fence_need_those_before_it() {
        let mut machine = Machine::new(Model::ARM64, 64);
        let store_both = |machine: &mut Machine, times| {
            for value in 0..times {
                machine.store(0, 0, value, Relaxed);
                machine.store(0, 8, value, Relaxed);
            }
        };
        store_both(&mut machine, 10);
        machine.fence(0);
        store_both(&mut machine, 20_000);
        let line = machine.history().line(0).unwrap();
        assert_eq!(line.writes(0).last().unwrap().needs[..2], [0, 10]);
        assert_eq!(line.writes(1).last().unwrap().needs[..2], [10, 0]);
    }
}
