//! Positions, segments, and their offsets in the medium.

use cachemaint_format::magic::{self, Format};
use cachemaint_format::root;
use core::fmt;

/// This version's root format.
pub(super) const FORMAT: Format = Format { magic: magic::JOURNAL, version: 5, name: "journal" };

/// The size of a word in bytes. Everything begins at a multiple of it.
pub(super) const WORD: u64 = 8;
/// The offset of the [confirmation word](super::confirmation). It has its own block after the roots, so that a drive
/// that loses the block loses nothing else.
pub(super) const CONFIRMATION: u64 = root::BYTES;
/// The offset of the log in the medium.
pub(super) const LOG: u64 = CONFIRMATION + root::BLOCK;
/// The largest segment in bytes.
pub(super) const SEGMENT: u64 = 1 << 22;
/// The alignment of records on a drive that may destroy the page it writes. On any other medium it is a [`WORD`].
pub(super) const PAGE: u64 = 4096;
/// The largest window, unless four segments are larger.
const WINDOW: u64 = 256 << 10;
/// The smallest number of segments: one for the oldest record, one for the longest next record, and one for the epoch
/// of a later opening.
pub(super) const SEGMENTS: u64 = 3;

/// 2^64 divided by the golden ratio: multiplied by it, consecutive numbers get very different upper bits.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of a header.
pub(super) const HEADER: u64 = 16;
/// Bytes of a mark's payload. A whole mark fills one line on most machines, so it does not push line-aligned records
/// across line boundaries.
pub(super) const MARK: u64 = 48;

/// A position in a journal: bytes since its creation. No two acknowledged records share a position, unless damage
/// destroyed the first one.
///
/// You can store the number elsewhere and turn it back into a position; see the example of
/// [`Journal::trim`](super::Journal::trim). Store the [identity](super::Journal::identity) of the journal with it:
/// positions of every journal begin at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The sizes of a journal, chosen at its creation and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Bytes of a segment, a power of two.
    pub(super) segment: u64,
    /// Bytes of the log, a multiple of the segment.
    pub(super) capacity: u64,
    /// The alignment of the start and end of records: [`WORD`] or [`PAGE`].
    pub(super) alignment: u64,
    /// The greatest distance between the end of a record and the position before which everything is durable. Memory of
    /// half the window holds what is in progress. A record states a distance within the window.
    pub(super) window: u64,
}

/// The place of a record, and of the mark before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// The end of the previous record.
    pub(super) start: u64,
    /// The mark of the segment that the record enters, since it does not fit into the previous record's segment.
    pub(super) mark: Option<u64>,
    /// The position of the record.
    pub(super) record: u64,
    /// The end of the record.
    pub(super) end: u64,
    /// Everything before this position was durable when the place was reserved.
    pub(super) durable: u64,
}

impl Geometry {
    /// Returns these sizes, or `None` if they are impossible.
    pub(super) const fn new(segment: u64, capacity: u64, alignment: u64) -> Option<Self> {
        let is_right = matches!(alignment, WORD | PAGE)
            && segment.is_power_of_two()
            && segment >= Self::least(alignment)
            && segment <= SEGMENT
            && capacity.is_multiple_of(segment)
            && capacity / segment >= SEGMENTS
            && capacity <= i64::MAX as u64 - LOG;
        if !is_right {
            return None;
        }
        let quarter = capacity / segment / 4 * segment;
        let most = if WINDOW < 4 * segment { 4 * segment } else { WINDOW };
        let window = if quarter < most { quarter } else { most };
        let window = if window < 2 * segment { 2 * segment } else { window };
        Some(Self { segment, capacity, alignment, window })
    }

    /// Returns the bytes of the smallest segment: a mark and a record of one byte fit.
    pub(super) const fn least(alignment: u64) -> u64 {
        let mark = (HEADER + MARK).next_multiple_of(alignment);
        (mark + (HEADER + 1).next_multiple_of(alignment)).next_power_of_two()
    }

    /// Returns the number of bytes that a journal of these sizes takes.
    pub(super) const fn bytes(&self) -> u64 {
        LOG + self.capacity
    }

    /// Returns the offset of a position in the medium.
    #[inline]
    pub(super) const fn place(&self, position: u64) -> u64 {
        LOG + position % self.capacity
    }

    /// Returns the start of the segment of a position.
    #[inline]
    pub(super) const fn segment_of(&self, position: u64) -> u64 {
        position & !(self.segment - 1)
    }

    /// Returns the first start of a segment at or after a position.
    #[inline]
    pub(super) const fn next_segment(&self, position: u64) -> u64 {
        (position + (self.segment - 1)) & !(self.segment - 1)
    }

    /// Returns the number of bytes from a position to the end of its segment: the whole segment if the position is its
    /// start.
    #[inline]
    pub(super) const fn left(&self, position: u64) -> u64 {
        self.segment - (position & (self.segment - 1))
    }

    /// Returns true if a record can begin at a position.
    #[inline]
    pub(super) const fn is_aligned(&self, position: u64) -> bool {
        position & (self.alignment - 1) == 0
    }

    /// Returns the bytes of a record with `payload` bytes of payload.
    #[inline]
    pub(super) const fn size(&self, payload: u64) -> u64 {
        // The alignment is a power of two.
        (HEADER + payload + self.alignment - 1) & !(self.alignment - 1)
    }

    /// Returns the length of the longest possible payload, in bytes.
    pub(super) const fn largest(&self) -> u64 {
        self.segment - self.size(MARK) - HEADER
    }

    /// Returns the placement of records of `size` bytes after `start`. Everything before `durable` is durable.
    #[inline]
    pub(super) const fn placement(&self, start: u64, size: u64, durable: u64) -> Placement {
        let next = self.next_segment(start);
        if next - start >= size {
            return Placement { start, mark: None, record: start, end: start + size, durable };
        }
        let record = next + self.size(MARK);
        Placement { start, mark: Some(next), record, end: record + size, durable }
    }

    /// Returns the end of the space that may be written while the oldest record is at `head`.
    #[inline]
    pub(super) const fn limit(&self, head: u64) -> u64 {
        (head & !(self.segment - 1)) + self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::Geometry;

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for (segment, capacity, alignment) in [
            (64, 1024, 8),
            (384, 1152, 8),
            (1 << 23, 1 << 27, 8),
            (256, 1000, 8),
            // The longest record would not fit after another one of its size once that one is trimmed.
            (256, 512, 8),
            (256, 1 << 63, 8),
            (256, 1024, 4),
            (256, 1024, 16),
            // A mark and a record take a page each.
            (4096, 1 << 20, 4096),
        ] {
            assert_eq!(Geometry::new(segment, capacity, alignment), None, "{segment} {capacity}");
        }
    }

    /// By hand: a quarter of the segments, at most 256 KiB or four segments, at least two segments.
    #[test]
    fn the_window_follows_from_the_sizes() {
        const KIB: u64 = 1 << 10;
        for (segment, segments, window) in [
            (128, 3, 256),
            (128, 31, 7 * 128),
            (256, 16, 1024),
            (32 * KIB, 31, 7 * 32 * KIB),
            (64 * KIB, 16, 256 * KIB),
            (64 * KIB, 128, 256 * KIB),
            (4096 * KIB, 1 << 20, 4 * 4096 * KIB),
        ] {
            let geometry = Geometry::new(segment, segments * segment, 8).unwrap();
            assert_eq!(geometry.window, window, "{segments} of {segment}");
        }
    }
}
