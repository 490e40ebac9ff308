//! Free space, in whole units.

use crate::error::{Error, Part};
use crate::format::{Places, data};
use crate::info::Capacity;
use crate::log::Log;
use crate::table::Table;
use alloc::collections::{BTreeMap, BTreeSet};
use cachemaint_format::error::FormatError;
use core::ops::Range;

/// Returns the free space of a store. All bytes of its entries must be there, and none may be used twice.
pub(crate) fn of_log<E>(log: &Log, table: &Table) -> Result<Space, Error<E>> {
    let (unit, size) = (log.places.unit, table.state.size);
    let mut space = Space::new(data(unit).min(size)..size, unit);
    let mut take = |range: Range<u64>, part| {
        let needed = range.end;
        if needed > size {
            return Err(Error::format(FormatError::Truncated { size, needed }));
        }
        let damaged = Error::damaged(part, range.start, range.end - range.start);
        if space.take(range) { Ok(()) } else { Err(damaged) }
    };
    for at in log.places.mirrors() {
        take(Places::occupied(at, log.places.capacity, unit), Part::Table)?;
    }
    for live in table.live.iter() {
        let (at, bytes) = (live.entry.at, live.entry.occupied(unit));
        if bytes > 0 {
            take(at..at.saturating_add(bytes), Part::Entry)?;
        }
    }
    Ok(space)
}

/// The free space of a store.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    bounds: Range<u64>,
    unit: u64,
    /// The ends of free pieces, keyed by their starts.
    pieces: BTreeMap<u64, u64>,
    /// The lengths and starts of the same pieces.
    by_len: BTreeSet<(u64, u64)>,
    free: u64,
}

impl Space {
    /// Returns a space that is entirely free. Its bounds are multiples of the unit.
    pub(crate) fn new(bounds: Range<u64>, unit: u64) -> Self {
        let (pieces, by_len) = (BTreeMap::new(), BTreeSet::new());
        let mut space = Self { bounds: bounds.start..bounds.start, unit, pieces, by_len, free: 0 };
        space.extend_to(bounds.end);
        space
    }

    /// Adds free space at the end.
    pub(crate) fn extend_to(&mut self, end: u64) {
        let start = self.bounds.end;
        if end > start {
            self.bounds.end = end;
            self.give(&(start..end));
        }
    }

    fn insert(&mut self, piece: Range<u64>) {
        if !piece.is_empty() {
            self.by_len.insert((piece.end - piece.start, piece.start));
            self.pieces.insert(piece.start, piece.end);
        }
    }

    fn remove(&mut self, piece: &Range<u64>) {
        self.pieces.remove(&piece.start);
        self.by_len.remove(&(piece.end - piece.start, piece.start));
    }

    /// Takes a range, which must be free and consist of whole units. Returns false if it does not.
    pub(crate) fn take(&mut self, range: Range<u64>) -> bool {
        let is_whole = |at: u64| at.is_multiple_of(self.unit);
        if !is_whole(range.start) || !is_whole(range.end) || range.end < range.start {
            return false;
        }
        let before = self.pieces.range(..=range.start).next_back();
        let Some(piece) = before.map(|(start, end)| *start..*end) else { return false };
        if range.end > piece.end {
            return false;
        }
        self.remove(&piece);
        self.insert(piece.start..range.start);
        self.insert(range.end..piece.end);
        self.free -= range.end - range.start;
        true
    }

    /// Takes `bytes`, which are whole units, at a multiple of `alignment`, from the smallest piece that has room wherever
    /// it begins, or else from one that happens to be aligned. Fails with the length of the largest piece. No bytes are
    /// at 0, where nothing else is.
    pub(crate) fn claim(&mut self, bytes: u64, alignment: u64) -> Result<Range<u64>, u64> {
        if bytes == 0 {
            return Ok(0..0);
        }
        let fits = |(len, start): &(u64, u64)| {
            let from = start.checked_next_multiple_of(alignment)?;
            let end = from.checked_add(bytes)?;
            (end <= start + len).then_some(from..end)
        };
        let sure = bytes.saturating_add(alignment.saturating_sub(self.unit));
        let mut pieces =
            self.by_len.range((sure, 0)..).chain(self.by_len.range((bytes, 0)..(sure, 0)));
        let found = pieces.find_map(fits);
        let range = found.ok_or_else(|| self.largest())?;
        self.take(range.clone());
        Ok(range)
    }

    /// Frees a range that was taken.
    pub(crate) fn give(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut piece = range.clone();
        let before = self.pieces.range(..range.start).next_back();
        if let Some((start, end)) = before.map(|(start, end)| (*start, *end))
            && end == range.start
        {
            self.remove(&(start..end));
            piece.start = start;
        }
        if let Some(end) = self.pieces.get(&range.end).copied() {
            self.remove(&(range.end..end));
            piece.end = end;
        }
        self.insert(piece);
        self.free += range.end - range.start;
    }

    /// Returns the number of bytes of the largest free piece.
    pub(crate) fn largest(&self) -> u64 {
        self.by_len.last().map_or(0, |(len, _)| *len)
    }

    pub(crate) fn capacity(&self) -> Capacity {
        let total = self.bounds.end - self.bounds.start;
        Capacity { total, free: self.free, largest: self.largest() }
    }

    /// Returns the ranges in use.
    pub(crate) fn used(&self) -> impl Iterator<Item = Range<u64>> {
        let starts = core::iter::once(self.bounds.start).chain(self.pieces.values().copied());
        let ends = self.pieces.keys().copied().chain(core::iter::once(self.bounds.end));
        starts.zip(ends).map(|(start, end)| start..end).filter(|range| !range.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::Space;

    #[test]
    fn the_smallest_piece_that_has_room_is_taken() {
        let mut space = Space::new(1024..2048, 64);
        assert!(space.take(1088..1152));
        assert_eq!(space.claim(64, 64), Ok(1024..1088));
        assert_eq!(space.claim(128, 64), Ok(1152..1280));
        assert_eq!(space.claim(64, 512), Ok(1536..1600));
        assert_eq!(space.claim(512, 64), Err(448));
        assert_eq!(space.claim(0, 64), Ok(0..0));
        space.give(&(1536..1600));
        // No piece is so large that an aligned place is certain, but this one has one.
        assert_eq!(space.claim(512, 512), Ok(1536..2048));
        space.give(&(1536..2048));
        assert_eq!(space.claim(768, 64), Ok(1280..2048));
        assert_eq!((space.free, space.largest()), (0, 0));
    }

    #[test]
    fn a_returned_range_merges_with_free_neighbours() {
        let mut space = Space::new(1024..2048, 64);
        assert!([1088..1152, 1152..1216, 1216..1280].map(|range| space.take(range)) == [true; 3]);
        space.give(&(1088..1152));
        space.give(&(1216..1280));
        assert!(space.used().eq(core::iter::once(1152..1216)));
        space.give(&(1152..1216));
        assert_eq!((space.free, space.largest()), (1024, 1024));
        space.extend_to(4096);
        assert_eq!(space.claim(3072, 64), Ok(1024..4096));
        assert!(space.used().eq(core::iter::once(1024..4096)));
    }
}
