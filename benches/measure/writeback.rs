//! The cost of a write-back of lines in a known state.
//!
//! Ranges of 64 B and 4 KiB add up to 16 KiB, which an L1 data cache holds. A range of 1 MiB is in the other caches,
//! and one sample is one such range.

use super::clock::Clock;
use super::lines::{PAGE, Region, State, WORD, check};
use cachemaint::Cache;
use core::sync::atomic::{AtomicU64, Ordering};

/// The sizes of the ranges in bytes.
pub const SIZES: [usize; 3] = [64, 4 << 10, LARGEST];

const LARGEST: usize = 1 << 20;

/// The total of smaller ranges in one sample, in bytes: half of a common L1 data cache.
const TOGETHER: usize = 16 << 10;

/// Memory for probes, which can share it.
#[derive(Debug)]
pub struct Memory {
    region: Region,
    seed: AtomicU64,
}

impl Memory {
    /// Returns enough memory for the largest range.
    #[must_use]
    pub fn new() -> Self {
        Self { region: Region::new(LARGEST / PAGE), seed: AtomicU64::new(1) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// The subject of a measurement: lines in one state, in ranges of one size.
#[derive(Debug)]
pub struct Probe<'a> {
    cache: Cache,
    state: State,
    bytes: usize,
    stride: usize,
    words: &'a [AtomicU64],
    seed: &'a AtomicU64,
}

impl<'a> Probe<'a> {
    /// Returns the probe for ranges of `bytes` bytes, a multiple of 8 and at most 1 MiB, with lines in `state`, written
    /// back by `cache`.
    #[must_use]
    pub fn new(memory: &'a Memory, cache: Cache, state: State, bytes: usize) -> Self {
        // If two ranges shared a line, the second would find it already written back by the first.
        let stride = bytes.max(cache.line_size());
        let total = (TOGETHER / stride).max(1) * stride;
        let words = memory.region.words();
        let words = words.get(..total / WORD).unwrap_or(words);
        Self { cache, state, bytes, stride, words, seed: &memory.seed }
    }

    /// Returns the number of ranges that one sample writes back.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.words.len() * WORD / self.stride
    }

    /// Returns the number of lines of a range.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.bytes.div_ceil(self.cache.line_size())
    }

    /// Prepares the lines, and returns the nanoseconds for the write-back of one range and its fence.
    ///
    /// # Panics
    /// If the data have changed.
    #[must_use]
    pub fn range_ns(&self, clock: &Clock) -> f64 {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        self.state.prepare(self.cache, self.words, seed);
        let words = self.bytes / WORD;
        let ranges =
            || self.words.chunks_exact(self.stride / WORD).filter_map(|all| all.get(..words));
        let ns = clock.time_completed(|| ranges().for_each(|range| self.cache.writeback(range)));
        check(self.words, seed);
        ns / self.ranges() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, Probe, SIZES};
    use crate::measure::lines::State;
    use cachemaint::Cache;

    /// Half of a common L1 data cache, so that prepared lines are still there when their turn comes.
    #[test]
    fn small_ranges_together_fit_in_l1_and_never_share_a_line() {
        let (memory, cache) = (Memory::new(), Cache::host().unwrap());
        for bytes in SIZES {
            let probe = Probe::new(&memory, cache, State::Dirty, bytes);
            assert!(probe.stride >= cache.line_size());
            assert!(probe.ranges() * probe.stride <= bytes.max(16 << 10));
            assert!(probe.ranges() >= 1);
            assert_eq!(probe.lines(), bytes.div_ceil(cache.line_size()));
        }
    }
}
