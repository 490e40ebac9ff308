//! Memory with cache lines that are brought into a known state before the timed part.

use cachemaint::Cache;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// The size of a page, for placement in caches and for prefetchers.
pub const PAGE: usize = 4096;

/// The size of a word of the region in bytes.
pub const WORD: usize = size_of::<u64>();

/// The state of a range's lines before the timed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Cached and changed: memory has older data.
    Dirty,
    /// Cached and identical to memory.
    Clean,
    /// Only in memory.
    NotCached,
}

impl State {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Dirty, Self::Clean, Self::NotCached];

    /// Stores the data of `seed` in all words and brings all lines into this state. Dirty and clean lines are in the
    /// nearest cache that holds them all.
    pub fn prepare(self, cache: Cache, words: &[AtomicU64], seed: u64) {
        for (place, word) in words.iter().enumerate() {
            word.store(data(seed, place), Ordering::Relaxed);
        }
        if self != Self::Dirty {
            cache.writeback_invalidate(words);
        }
        if self == Self::Clean {
            check(words, seed);
        }
        // No store may be in progress when the timing starts.
        fence(Ordering::SeqCst);
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dirty => "dirty",
            Self::Clean => "clean",
            Self::NotCached => "not cached",
        })
    }
}

/// Returns the word at a place for a seed: never 0, and different for every place and seed.
#[must_use]
pub const fn data(seed: u64, place: usize) -> u64 {
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (place as u64).wrapping_mul(0xd134_2543_de82_ef95))
        | 1
}

/// Reads all words.
///
/// # Panics
/// If they are not the data of `seed`, which means that the measured work did not use the intended data.
pub fn check(words: &[AtomicU64], seed: u64) {
    let wrong = words
        .iter()
        .enumerate()
        .filter(|(place, word)| word.load(Ordering::Relaxed) != data(seed, *place))
        .count();
    assert_eq!(wrong, 0, "words that differ from the stored ones");
}

/// Memory of whole pages.
///
/// Its words are atomic, so the compiler neither removes nor merges stores.
#[derive(Debug)]
pub struct Region {
    words: Vec<AtomicU64>,
    first: usize,
    len: usize,
}

impl Region {
    /// Returns this many pages, each of them written once, so that later accesses do not fault.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        let len = pages * PAGE / WORD;
        let words: Vec<AtomicU64> =
            (0..len + PAGE / WORD).map(|place| AtomicU64::new(data(0, place))).collect();
        let first = words.as_ptr().align_offset(PAGE);
        Self { words, first, len }
    }

    /// Returns all of its words, beginning at a page.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        self.words.get(self.first..).and_then(|words| words.get(..self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE, Region, State, WORD, check, data};
    use cachemaint::Cache;

    #[test]
    fn a_region_is_whole_pages() {
        let region = Region::new(3);
        assert_eq!(region.words().len() * WORD, 3 * PAGE);
        assert_eq!(region.words().as_ptr().addr() % PAGE, 0);
    }

    #[test]
    fn data_are_not_zero_and_change_with_place_and_seed() {
        assert!((0..512).all(|place| data(0, place) != 0));
        assert_ne!(data(1, 7), data(2, 7));
        assert_ne!(data(1, 7), data(1, 8));
    }

    /// The data are there in every state.
    #[test]
    fn every_state_keeps_the_data() {
        let (cache, region) = (Cache::host().unwrap(), Region::new(1));
        for (seed, state) in (1..).zip(State::ALL) {
            state.prepare(cache, region.words(), seed);
            check(region.words(), seed);
        }
    }

    #[test]
    #[should_panic(expected = "words that differ")]
    fn data_of_another_seed_are_noticed() {
        let region = Region::new(1);
        State::Dirty.prepare(Cache::host().unwrap(), region.words(), 1);
        check(region.words(), 2);
    }
}
