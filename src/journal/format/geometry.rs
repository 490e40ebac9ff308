//! Positions, segments, and where they are in the medium.

use super::WORD;

/// Bytes from the beginning of one superblock to the other, and from that to the log.
pub(in crate::journal) const PAGE: u64 = 4096;
/// Where the log begins in the medium.
pub(in crate::journal) const LOG: u64 = 2 * PAGE;
/// The least and the most bytes of a segment.
pub(in crate::journal) const SEGMENT: core::ops::RangeInclusive<u64> = 128..=1 << 24;
/// The largest alignment of records.
pub(in crate::journal) const ALIGNMENT: u64 = 4096;
/// The most segments of a window, and the most bytes: half as much memory is taken for it.
pub(in crate::journal) const WINDOW: u64 = u16::MAX as u64;
pub(in crate::journal) const LARGEST_WINDOW: u64 = 1 << 28;
/// Segments there are at least: that of the oldest record, one to go on in with the longest record, and one with room to
/// open the journal in behind it.
pub(in crate::journal) const SEGMENTS: u64 = 3;

/// Bytes of a header.
pub(in crate::journal) const HEADER: u64 = 16;
/// Bytes of a mark's payload: the whole is a line on most machines, so that records which begin at lines where they
/// can are not pushed over their boundaries by it.
pub(in crate::journal) const MARK: u64 = 48;
/// The most bytes of a payload that the length can say.
pub(in crate::journal) const MOST: u64 = (1 << 24) - 1;

/// The sizes that a journal was created with. They have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Geometry {
    /// Bytes of a segment, a power of two.
    pub(in crate::journal) segment: u64,
    /// Bytes of the log, a multiple of the segment.
    pub(in crate::journal) capacity: u64,
    /// Records begin and end at multiples of it, a power of two.
    pub(in crate::journal) alignment: u64,
    /// So far ahead of what is durable to the first byte a record may end.
    pub(in crate::journal) window: u64,
}

/// Where a record goes, and what has to be written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Placement {
    /// The end of what was before.
    pub(in crate::journal) start: u64,
    /// A void up to the end of its segment, since the record does not fit into it.
    pub(in crate::journal) void: Option<u64>,
    /// The mark of the segment that is entered.
    pub(in crate::journal) mark: Option<u64>,
    /// The record.
    pub(in crate::journal) record: u64,
    /// Its end.
    pub(in crate::journal) end: u64,
}

impl Geometry {
    /// These sizes, unless they are none that a journal can have.
    pub(in crate::journal) fn checked(self) -> Option<Self> {
        let Self { segment, capacity, alignment, window } = self;
        let is_right = segment.is_power_of_two()
            && SEGMENT.contains(&segment)
            && alignment.is_power_of_two()
            && (WORD..=ALIGNMENT).contains(&alignment)
            // A mark and a record of one byte fit.
            && self.size(MARK) + self.size(1) <= segment
            && capacity.is_multiple_of(segment)
            && (SEGMENTS..1 << 48).contains(&(capacity / segment))
            && capacity <= i64::MAX as u64 - LOG
            && window.is_multiple_of(segment)
            && (2..=WINDOW).contains(&(window / segment))
            && window <= capacity.min(LARGEST_WINDOW);
        is_right.then_some(self)
    }

    /// Bytes of the medium that a journal of these sizes has.
    pub(in crate::journal) const fn bytes(&self) -> u64 {
        LOG + self.capacity
    }

    /// Where a position is in the medium.
    #[inline]
    pub(in crate::journal) const fn place(&self, position: u64) -> u64 {
        LOG + position % self.capacity
    }

    /// The beginning of the segment of a position.
    #[inline]
    pub(in crate::journal) const fn segment_of(&self, position: u64) -> u64 {
        position & !(self.segment - 1)
    }

    /// Bytes from a position to the end of its segment: all of it at its beginning.
    #[inline]
    pub(in crate::journal) const fn left(&self, position: u64) -> u64 {
        self.segment - (position & (self.segment - 1))
    }

    /// Returns true if a record can begin at a position.
    #[inline]
    pub(in crate::journal) const fn is_aligned(&self, position: u64) -> bool {
        position & (self.alignment - 1) == 0
    }

    /// Bytes of a record with so many bytes of payload.
    #[inline]
    pub(in crate::journal) const fn size(&self, payload: u64) -> u64 {
        (HEADER + payload).next_multiple_of(self.alignment)
    }

    /// The most bytes of payload that a record can have.
    pub(in crate::journal) const fn largest(&self) -> u64 {
        let rest = self.segment - self.size(MARK) - HEADER;
        if rest < MOST { rest } else { MOST }
    }

    /// The position itself, or the beginning of the next segment, if too little is left for a header.
    #[inline]
    pub(in crate::journal) const fn settled(&self, position: u64) -> u64 {
        let left = self.left(position);
        if left < HEADER { position + left } else { position }
    }

    /// Where records of `size` bytes go that come after `start`.
    #[inline]
    pub(in crate::journal) const fn placement(&self, start: u64, size: u64) -> Placement {
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

    /// Where the mark of an epoch goes that begins at `start`.
    #[inline]
    pub(in crate::journal) const fn beginning(&self, start: u64) -> Placement {
        let mark = self.size(MARK);
        let placement = self.placement(start, mark);
        match placement.mark {
            None => Placement { mark: Some(start), ..placement },
            Some(at) => Placement { record: at, end: at + mark, ..placement },
        }
    }

    /// The end of the space that may be written while the oldest record is at `head`.
    #[inline]
    pub(in crate::journal) const fn limit(&self, head: u64) -> u64 {
        self.segment_of(head) + self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::{Geometry, Placement};

    const SMALL: Geometry = Geometry { segment: 256, capacity: 1024, alignment: 8, window: 512 };

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        assert_eq!(SMALL.checked(), Some(SMALL));
        for wrong in [
            Geometry { segment: 64, ..SMALL },
            Geometry { segment: 384, capacity: 1152, window: 768, ..SMALL },
            Geometry { segment: 1 << 25, capacity: 1 << 27, window: 1 << 26, ..SMALL },
            Geometry { capacity: 1000, ..SMALL },
            // The longest record would not fit behind one of that size when that is trimmed.
            Geometry { capacity: 512, ..SMALL },
            Geometry { capacity: 1 << 63, ..SMALL },
            Geometry { alignment: 4, ..SMALL },
            Geometry { alignment: 24, ..SMALL },
            // A mark of 128 bytes and a record of 128 fit, of 256 not.
            Geometry { alignment: 256, ..SMALL },
            Geometry { window: 256, ..SMALL },
            Geometry { window: 640, ..SMALL },
            // More than there is.
            Geometry { window: 1280, ..SMALL },
            Geometry { capacity: 1 << 40, window: 65536 * 256, ..SMALL },
            // A file decides how much memory is taken for it.
            Geometry { segment: 1 << 24, capacity: 1 << 40, window: 1 << 29, ..SMALL },
        ] {
            assert_eq!(wrong.checked(), None, "{wrong:?}");
        }
    }

    /// 16 bytes of header, 64 of a mark (16 and 48), segments of 256.
    #[test]
    fn a_record_that_does_not_fit_goes_behind_the_mark_of_the_next_segment() {
        let fits = Placement { start: 200, void: None, mark: None, record: 200, end: 256 };
        assert_eq!(SMALL.placement(200, 56), fits);
        let void =
            Placement { start: 200, void: Some(200), mark: Some(256), record: 320, end: 384 };
        assert_eq!(SMALL.placement(200, 64), void);
        // No header fits into 8 bytes.
        let skip = Placement { start: 248, void: None, mark: Some(256), record: 320, end: 344 };
        assert_eq!(SMALL.placement(248, 24), skip);
        let first = Placement { start: 256, void: None, mark: Some(256), record: 320, end: 336 };
        assert_eq!(SMALL.placement(256, 16), first);
        assert_eq!(SMALL.settled(248), 256);
        assert_eq!(SMALL.settled(240), 240);
    }

    #[test]
    fn the_segment_of_the_oldest_record_is_not_written_to() {
        assert_eq!(SMALL.limit(0), 1024);
        assert_eq!(SMALL.limit(255), 1024);
        assert_eq!(SMALL.limit(256), 1280);
        assert_eq!(SMALL.place(1280), 8192 + 256);
    }
}
