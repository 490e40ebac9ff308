//! The order of stores, where program order alone orders nothing.

use alloc::vec::Vec;

/// A set of stores. Each thread's are numbered; most sets hold all of a thread's first stores, and a few
/// more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stores {
    /// For each thread, the number of its first stores in the set.
    first: Vec<u32>,
    /// Further ones: thread and number, in order.
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
}

/// A store, and all that is ordered before it.
#[derive(Clone, Debug)]
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
    /// The stores that a release or a barrier would order before later stores: own stores, and those of others that
    /// were read.
    seen: Stores,
    /// The stores that loads have shown to be in memory.
    loaded: Stores,
}

impl Ordered {
    /// Adds a store of a thread to a word that was last stored by `previous`. It counts for later stores when it is
    /// [seen](Self::see).
    pub(crate) fn store(
        &mut self,
        thread: usize,
        releases: bool,
        previous: Option<&Stamp>,
    ) -> Stamp {
        let mut before = if releases { self.seen.clone() } else { self.before.clone() };
        if let Some(previous) = previous {
            before.join(&previous.before);
            before.add(previous.thread, previous.store);
        }
        self.stores += 1;
        Stamp { thread, store: self.stores - 1, before }
    }

    /// Adds a load that read a store with this stamp.
    pub(crate) fn load(&mut self, acquires: bool, from: &Stamp) {
        self.see(from);
        self.loaded.join(&from.before);
        self.loaded.add(from.thread, from.store);
        if acquires {
            self.before.join(&from.before);
            self.before.add(from.thread, from.store);
        }
    }

    /// Returns the order of a thread that comes after all that this one has done and seen.
    pub(crate) fn handed_on(&self) -> Self {
        let [before, seen, loaded] = [(); 3].map(|()| self.seen.clone());
        Self { stores: 0, before, seen, loaded }
    }

    /// Adds all that another thread was ordered after.
    pub(crate) fn follow(&mut self, other: &Self) {
        self.before.join(&other.before);
        self.seen.join(&other.seen);
        self.loaded.join(&other.loaded);
    }

    /// Adds a barrier for all accesses.
    pub(crate) fn barrier(&mut self) {
        self.before = self.seen.clone();
    }

    /// Returns true if a load has shown this store to be in memory. An own store that came after it in the order of a
    /// word has not: it may be in the store buffer.
    pub(crate) fn has_loaded(&self, stamp: &Stamp) -> bool {
        self.loaded.has(stamp.thread, stamp.store)
    }

    /// Orders a later release or barrier after this.
    pub(crate) fn see(&mut self, stamp: &Stamp) {
        self.seen.join(&stamp.before);
        self.seen.add(stamp.thread, stamp.store);
    }
}
