//! The state by which a machine orders and completes stores: of each thread and of each line.

use super::history::Counts;
use super::ordered::{Ordered, Stamp};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use std::collections::HashMap;

/// The order of a store with other stores of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// One word.
    Ordinary { releases: bool },
    /// Words in any order among themselves, all after earlier stores and before later ones.
    Copy,
    /// Words in any order, even among other stores, until their copy has [returned](super::Machine::copy_returns);
    /// otherwise ordinary stores.
    Scattered,
    /// The same, but until the thread fences, and for other threads too.
    Unordered,
    /// Words in any order, even among other stores, until the thread fences, and past the caches.
    Streaming,
}

impl Store {
    /// Returns true if the store's place in the order is open at first.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Scattered | Self::Unordered | Self::Streaming)
    }
}

/// A store that is yet to be ordered or completed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) line: usize,
    pub(super) word: usize,
    pub(super) number: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    /// The lines that the thread wrote back but did not fence, with the stores made by then: the union over several
    /// write-backs of a line.
    pub(super) pending: BTreeMap<usize, Counts>,
    /// The stores of the thread whose order is open.
    pub(super) open: Vec<Open>,
    /// The streaming stores of the thread that no fence has completed.
    pub(super) streamed: Vec<Open>,
    pub(super) ordered: Ordered,
    /// The number of events before its last fence or barrier.
    pub(super) fenced: u32,
    /// The stores of other threads that it loaded: their number, by line and word.
    pub(super) loaded: HashMap<(usize, usize), u32>,
    /// True if the thread has stored since its last fence.
    pub(super) has_stored: bool,
    /// The number of events when its last process was killed.
    pub(super) killed: u32,
}

/// The stores that the next stores of a line are ordered after.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// With total order: the stores that an ordinary store needs.
    pub(super) floor: Counts,
    /// The thread that stored each word, each time.
    pub(super) stamps: Box<[Vec<Stamp>]>,
    /// The stores that may not be in the caches yet, by word and number: streaming ones that no fence has completed,
    /// and, if the caches survive, those of a copy that has not returned.
    pub(super) hidden: Vec<(usize, u32)>,
}

impl Orders {
    pub(super) fn new(words: usize) -> Self {
        Self {
            floor: vec![0; words].into(),
            stamps: (0..words).map(|_| Vec::new()).collect(),
            hidden: Vec::new(),
        }
    }

    /// Returns the number of stores to each other word of the line that are ordered before a store to a word;
    /// `previous` is the result for the word's previous store.
    pub(super) fn before(&self, stamp: &Stamp, word: usize, previous: Counts) -> Counts {
        if stamp.before.is_empty() {
            return previous;
        }
        let before = |(other, stamps): (usize, &Vec<Stamp>)| {
            let is_before = |other: &Stamp| stamp.before.has(other.thread, other.store);
            // A set with a store has the earlier ones of its word.
            let stores = if other == word { 0 } else { stamps.partition_point(is_before) };
            previous.get(other).copied().unwrap_or(0).max(stores as u32)
        };
        let needs: Counts = self.stamps.iter().enumerate().map(before).collect();
        // No need is the usual case, and the fast one.
        if needs.iter().all(|need| *need == 0) { Counts::default() } else { needs }
    }
}
