//! The memory for copies: sources, and targets that are brought into a placement.

use super::placement::{CacheSizes, Level, Placement};
use super::{Case, LINE, MISALIGNMENT};
use crate::measure::lines::{PAGE, Region, WORD, data};
use cachemaint::Cache;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};

/// A range of bytes in words that may be changed through a shared reference.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    words: &'a [AtomicU64],
    skip: usize,
    len: usize,
}

impl<'a> Target<'a> {
    /// Returns the target of `len` bytes, after `skip` bytes of `words`.
    ///
    /// # Panics
    /// If the words have fewer.
    #[must_use]
    pub fn new(words: &'a [AtomicU64], skip: usize, len: usize) -> Self {
        let end = skip.checked_add(len).filter(|end| *end <= size_of_val(words));
        assert!(end.is_some(), "{skip} + {len} bytes in {}", size_of_val(words));
        Self { words, skip, len }
    }

    /// Returns the words that contain the target.
    #[must_use]
    pub const fn words(&self) -> &'a [AtomicU64] {
        self.words
    }

    /// Returns the number of bytes of the words before the target.
    #[must_use]
    pub const fn skip(&self) -> usize {
        self.skip
    }

    /// Returns the first byte of the target.
    #[must_use]
    pub const fn as_mut_ptr(&self) -> *mut u8 {
        self.words.as_ptr().cast_mut().cast::<u8>().wrapping_add(self.skip)
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns true if the target is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// If the bytes are not those of `expected`, which means that the measured work is not a copy.
    pub(super) fn check(&self, expected: &[u8], who: &str) {
        assert_eq!(self.len, expected.len(), "bytes");
        let mut bytes = [0; PAGE];
        for (words, place) in self.words.chunks(PAGE / WORD).zip((0..).step_by(PAGE)) {
            for (bytes, word) in bytes.chunks_exact_mut(WORD).zip(words) {
                bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
            }
            // The part of this page that both have.
            let from = self.skip.max(place);
            let end = (self.skip + self.len).min(place + PAGE);
            let found = bytes.get(from - place..end.saturating_sub(place));
            let copied = expected.get(from - self.skip..end - self.skip);
            let same = found.is_some() && found == copied;
            assert!(same, "{who}: bytes {place} and on differ from the source");
        }
    }
}

/// The memory of copies, which several cases may share.
#[derive(Debug)]
pub struct Memory {
    region: Region,
    walk: Region,
    sources: [Source; 2],
    /// The cache sizes that determine where lines are placed.
    sizes: CacheSizes,
}

/// Nonzero bytes, starting at a line.
#[derive(Debug)]
struct Source {
    bytes: Vec<u8>,
    first: usize,
}

impl Source {
    fn new(seed: u64, len: usize) -> Self {
        let words =
            (0..(len + LINE).div_ceil(WORD)).flat_map(|place| data(seed, place).to_ne_bytes());
        let bytes: Vec<u8> = words.collect();
        let first = bytes.as_ptr().align_offset(LINE);
        Self { bytes, first }
    }

    fn first(&self, len: usize) -> &[u8] {
        self.bytes.get(self.first..).and_then(|bytes| bytes.get(..len)).unwrap_or_default()
    }
}

/// The seeds of the two sources.
const SEEDS: [u64; 2] = [1, 2];
/// The bytes of several small copies in one sample: the targets and the source fit into the first-level cache together.
const TOGETHER: usize = 16 << 10;
/// The maximum number of copies in one sample. With more targets, each in its own page, there would be TLB misses.
const MOST: usize = 64;

impl Memory {
    /// Returns the memory for copies of up to `largest` bytes on a machine with these caches.
    #[must_use]
    pub fn new(largest: usize, sizes: CacheSizes) -> Self {
        let region = Region::new(Layout::bytes_for(largest).div_ceil(PAGE));
        let walk = sizes.walk(Level::L2).max(sizes.walk(Level::L3));
        Self {
            region,
            walk: Region::new(walk.div_ceil(PAGE)),
            sources: SEEDS.map(|seed| Source::new(seed, largest)),
            sizes,
        }
    }

    /// Returns the first bytes of one of two sources, which differ everywhere.
    pub(super) fn source(&self, turn: u64, bytes: usize) -> &[u8] {
        let [even, odd] = &self.sources;
        let source = if turn.is_multiple_of(2) { even } else { odd };
        source.first(bytes)
    }

    /// Returns the targets of the case.
    pub(super) fn targets(&self, case: Case) -> Vec<Target<'_>> {
        let layout = Layout::of(case.bytes);
        let lines = (case.skip() + case.bytes).next_multiple_of(LINE);
        let each = |place: usize| {
            let first = place * layout.stride;
            let words = self.region.words().get(first / WORD..(first + lines) / WORD);
            Target::new(words.unwrap_or_default(), case.skip(), case.bytes)
        };
        (0..layout.copies).map(each).collect()
    }

    /// Brings the lines of the targets to the placement and the source into the cache.
    pub(super) fn place(
        &self,
        cache: Cache,
        Placement { level, dirty }: Placement,
        targets: &[Target<'_>],
        source: &[u8],
    ) {
        if !dirty {
            cache.batch(|batch| {
                for to in targets {
                    batch.writeback_invalidate(to.words);
                }
            });
        }
        if level != Level::Nowhere {
            let walk = self.walk.words().get(..self.sizes.walk(level) / WORD).unwrap_or_default();
            // The walk is made twice, since a cache may not keep a clean line after its first use.
            for _ in 0..2 {
                read_all(targets);
                read(walk);
            }
        }
        black_box(source.iter().fold(0, |sum: u8, byte| sum ^ byte));
        if level == Level::L1 {
            read_all(targets);
        }
    }
}

/// Fills all targets with data that no source has.
pub(super) fn fill_all(targets: &[Target<'_>], turn: u64) {
    for to in targets {
        fill(to.words, turn.wrapping_add(SEEDS[1] + 1));
    }
}

fn fill(words: &[AtomicU64], seed: u64) {
    for (place, word) in words.iter().enumerate() {
        word.store(data(seed, place), Ordering::Relaxed);
    }
}

fn read_all(targets: &[Target<'_>]) {
    for to in targets {
        read(to.words);
    }
}

fn read(words: &[AtomicU64]) {
    let line = LINE / WORD;
    let sum = words.iter().step_by(line).fold(0, |sum, word| sum ^ word.load(Ordering::Relaxed));
    black_box(sum);
}

/// Returns the number of copies in one sample.
pub(super) fn copies_of(bytes: usize) -> usize {
    (TOGETHER / bytes.max(1)).clamp(1, MOST)
}

/// The layout of the targets of one sample: each begins in its own page, and together they are spread evenly over the
/// sets of a cache.
#[derive(Clone, Copy, Debug)]
struct Layout {
    copies: usize,
    stride: usize,
}

impl Layout {
    fn of(bytes: usize) -> Self {
        let lines = bytes.next_multiple_of(LINE) + LINE;
        Self { copies: copies_of(bytes), stride: lines.next_multiple_of(PAGE) + lines - LINE }
    }

    /// Returns the bytes that the targets of any sample need, with copies of up to `largest` bytes: a page and twice
    /// the bytes for each of several, or the bytes of one.
    fn bytes_for(largest: usize) -> usize {
        let several = MOST * (PAGE + 4 * LINE) + 2 * TOGETHER;
        several.max((largest + MISALIGNMENT).next_multiple_of(LINE))
    }
}
