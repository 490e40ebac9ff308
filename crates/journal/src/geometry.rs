//! Positions, segments, and their offsets in the medium.

use cachemaint_format::magic::{self, Format};
use cachemaint_format::root;
use core::fmt;

/// This version's root format.
pub(super) const FORMAT: Format = Format { magic: magic::JOURNAL, version: 4, name: "journal" };

/// The size of a word in bytes. Everything begins at a multiple of it.
pub(super) const WORD: u64 = 8;
/// The offset of the [confirmation word](super::confirmation). It has its own block after the roots, so that a drive
/// that loses the block loses nothing else.
pub(super) const CONFIRMATION: u64 = root::BYTES;
/// The offset of the log in the medium.
pub(super) const LOG: u64 = CONFIRMATION + root::BLOCK;
/// The smallest and largest segment in bytes.
pub(super) const SEGMENT: core::ops::RangeInclusive<u64> = 128..=1 << 22;
/// The largest alignment of records.
pub(super) const ALIGNMENT: u64 = 4096;
/// The largest window in bytes. It takes half as much memory. A record states a distance within the window.
pub(super) const WINDOW: u64 = 1 << 24;
/// The smallest number of segments: one for the oldest record, one for the longest next record, and one for the epoch
/// of a later opening.
pub(super) const SEGMENTS: u64 = 3;

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
    /// The alignment of the start and end of records, a power of two.
    pub(super) alignment: u64,
    /// The greatest distance between the end of a record and the position before which everything is durable.
    pub(super) window: u64,
}

/// The place of a record, and of the void and the mark before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// The end of the previous record.
    pub(super) start: u64,
    /// A void up to the end of the previous record's segment, if the new record does not fit there.
    pub(super) void: Option<u64>,
    /// The mark of the segment that the record enters.
    pub(super) mark: Option<u64>,
    /// The position of the record.
    pub(super) record: u64,
    /// The end of the record.
    pub(super) end: u64,
}

impl Geometry {
    /// Returns these sizes, or `None` if they are impossible.
    pub(super) fn checked(self) -> Option<Self> {
        let Self { segment, capacity, alignment, window } = self;
        let is_right = segment.is_power_of_two()
            && SEGMENT.contains(&segment)
            && alignment.is_power_of_two()
            && (WORD..=ALIGNMENT).contains(&alignment)
            // A mark and a record of one byte fit.
            && self.size(MARK) + self.size(1) <= segment
            && capacity.is_multiple_of(segment)
            && capacity / segment >= SEGMENTS
            && capacity <= i64::MAX as u64 - LOG
            && window.is_multiple_of(segment)
            && window / segment >= 2
            && window <= capacity.min(WINDOW);
        is_right.then_some(self)
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
        self.segment_of(position + (self.segment - 1))
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
        (HEADER + payload).next_multiple_of(self.alignment)
    }

    /// Returns the length of the longest possible payload, in bytes.
    pub(super) const fn largest(&self) -> u64 {
        self.segment - self.size(MARK) - HEADER
    }

    /// Returns the position itself, or the start of the next segment if too little space is left for a header.
    #[inline]
    pub(super) const fn settled(&self, position: u64) -> u64 {
        let left = self.left(position);
        if left < HEADER { position + left } else { position }
    }

    /// Returns the placement of records of `size` bytes after `start`.
    #[inline]
    pub(super) const fn placement(&self, start: u64, size: u64) -> Placement {
        let left = self.left(start);
        if left < self.segment && left >= size {
            return Placement { start, void: None, mark: None, record: start, end: start + size };
        }
        let (void, mark) = if left == self.segment {
            (None, start)
        } else if left < HEADER {
            (None, start + left)
        } else {
            (Some(start), start + left)
        };
        let record = mark + self.size(MARK);
        Placement { start, void, mark: Some(mark), record, end: record + size }
    }

    /// Returns the end of the space that may be written while the oldest record is at `head`.
    #[inline]
    pub(super) const fn limit(&self, head: u64) -> u64 {
        self.segment_of(head) + self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::Geometry;

    const SMALL: Geometry = Geometry { segment: 256, capacity: 1024, alignment: 8, window: 512 };

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        assert_eq!(SMALL.checked(), Some(SMALL));
        for wrong in [
            Geometry { segment: 64, ..SMALL },
            Geometry { segment: 384, capacity: 1152, window: 768, ..SMALL },
            Geometry { segment: 1 << 23, capacity: 1 << 27, window: 1 << 24, ..SMALL },
            Geometry { capacity: 1000, ..SMALL },
            // The longest record would not fit after another one of its size once that one is trimmed.
            Geometry { capacity: 512, ..SMALL },
            Geometry { capacity: 1 << 63, ..SMALL },
            Geometry { alignment: 4, ..SMALL },
            Geometry { alignment: 24, ..SMALL },
            // A mark and a record of 128 bytes each would fit, but not of 256 bytes each.
            Geometry { alignment: 256, ..SMALL },
            Geometry { window: 256, ..SMALL },
            Geometry { window: 640, ..SMALL },
            // The window is larger than the capacity.
            Geometry { window: 1280, ..SMALL },
            Geometry { capacity: 1 << 40, window: (1 << 24) + 256, ..SMALL },
            // The file's sizes decide how much memory is allocated.
            Geometry { segment: 1 << 22, capacity: 1 << 40, window: 1 << 25, ..SMALL },
        ] {
            assert_eq!(wrong.checked(), None, "{wrong:?}");
        }
    }
}
