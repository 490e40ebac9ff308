//! Free space of a store. It is computed from the table when a store is opened, so nothing can leak.
//!
//! # Work
//! Each operation takes logarithmic time in the number of free pieces, and looks besides at each piece that an alignment
//! above the unit keeps from being used. Taking the last place looks at each piece that has room.

use crate::preserve::error::{Error, ErrorKind};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

/// The free space. The space in use lies between.
#[derive(Clone, Debug, Default)]
pub(super) struct Space {
    /// Free pieces by their beginnings. No two touch.
    gaps: BTreeMap<u64, u64>,
    /// The free pieces by length, then by beginning.
    by_len: BTreeSet<(u64, u64)>,
    /// Bytes of all of them.
    free: u64,
    /// The range that can be used.
    bounds: Range<u64>,
    unit: u64,
}

/// Free pieces at an end that are looked at in their order.
const NEAREST: usize = 16;

/// The end that is used first. If none of the [`NEAREST`] free pieces at that end is large enough, it is the smallest one
/// that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// For blobs.
    Begin,
    /// For pages of the table, which come and go with each commit, so that they do not divide the free space.
    End,
}

/// The range that keeps nothing free.
pub(super) const NOTHING: Range<u64> = 0..0;

/// A lack of space: no free piece is long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// Bytes that are needed in one piece.
    pub(super) needed: u64,
    /// Bytes of the largest free piece.
    pub(super) largest: u64,
}

impl<E> core::convert::From<Full> for Error<E> {
    fn from(Full { needed, largest }: Full) -> Self {
        Self(ErrorKind::Full { needed, largest })
    }
}

impl Space {
    pub(super) fn new(bounds: Range<u64>, unit: u64) -> Self {
        let mut space = Self { bounds: bounds.clone(), unit, ..Self::default() };
        space.insert(bounds);
        space
    }

    /// Adds the space up to `end`.
    #[cfg(all(feature = "dax", any(unix, windows)))]
    pub(super) fn extend_to(&mut self, end: u64) {
        let more = self.bounds.end..end;
        self.bounds.end = end;
        self.give(&more);
    }

    /// Takes a range. Returns false if it was not free.
    pub(super) fn take(&mut self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let Some(gap) = self.last(range.start).filter(|gap| range.end <= gap.end) else {
            return false;
        };
        self.take_from(&gap, &range);
        true
    }

    /// Takes a range of a free piece.
    fn take_from(&mut self, gap: &Range<u64>, range: &Range<u64>) {
        self.remove(gap);
        self.insert(gap.start..range.start);
        self.insert(range.end..gap.end);
    }

    /// Gives a range back that was taken.
    pub(super) fn give(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut free = range.clone();
        while let Some(gap) = self.last(free.end).filter(|gap| gap.end >= free.start) {
            self.remove(&gap);
            free = free.start.min(gap.start)..free.end.max(gap.end);
        }
        self.insert(free);
    }

    /// Cuts the end of a range off that was taken.
    pub(super) fn shorten(&mut self, range: &Range<u64>, end: u64) {
        self.give(&(end..range.end));
    }

    /// Returns the last free piece that begins at a place or before it.
    fn last(&self, at: u64) -> Option<Range<u64>> {
        self.gaps.range(..=at).next_back().map(|(start, end)| *start..*end)
    }

    fn insert(&mut self, gap: Range<u64>) {
        if !gap.is_empty() {
            let len = gap.end - gap.start;
            self.gaps.insert(gap.start, gap.end);
            self.by_len.insert((len, gap.start));
            self.free += len;
        }
    }

    fn remove(&mut self, gap: &Range<u64>) {
        let len = gap.end - gap.start;
        self.gaps.remove(&gap.start);
        self.by_len.remove(&(len, gap.start));
        self.free -= len;
    }

    /// Returns the free pieces nearest to an end.
    fn nearest(&self, from: From) -> impl Iterator<Item = Range<u64>> {
        let mut gaps = self.gaps.iter().map(|(start, end)| *start..*end);
        let next = move || match from {
            From::Begin => gaps.next(),
            From::End => gaps.next_back(),
        };
        core::iter::from_fn(next).take(NEAREST)
    }

    /// Returns the free pieces that an aligned range of this length may fit in, the smallest first.
    ///
    /// Those that are certain to have room come before those that alignment may make too small: of these there may be
    /// many.
    fn smallest(&self, bytes: u64, alignment: u64) -> impl Iterator<Item = Range<u64>> {
        let certain = bytes.saturating_add(alignment.saturating_sub(self.unit));
        let smaller = self.by_len.range((bytes, 0)..(certain, 0));
        self.by_len.range((certain, 0)..).chain(smaller).map(|(len, start)| *start..start + len)
    }

    /// Takes `bytes` in one piece that begins at a multiple of `alignment` and lies outside of `kept`. If there is no such
    /// piece, returns the length of the largest one.
    pub(super) fn claim(
        &mut self,
        bytes: u64,
        alignment: u64,
        from: From,
        kept: &Range<u64>,
    ) -> Result<Range<u64>, u64> {
        let fits = |gap: &Range<u64>| {
            let start = match from {
                From::Begin => gap.start.checked_next_multiple_of(alignment)?,
                From::End => gap.end.checked_sub(bytes)? / alignment * alignment,
            };
            let range = start..start.checked_add(bytes)?;
            (gap.start <= range.start && range.end <= gap.end).then_some(range)
        };
        // An empty blob does not take any space, but its offset must lie in the store.
        if bytes == 0 {
            let start = self.bounds.start.next_multiple_of(alignment);
            return if start <= self.bounds.end { Ok(start..start) } else { Err(0) };
        }
        // The nearest pieces serve almost always.
        let smallest = core::iter::once_with(|| self.smallest(bytes, alignment)).flatten();
        let found = self.nearest(from).chain(smallest).find_map(|gap| {
            let mut fitting = outside(&gap, kept, self.unit).filter_map(|part| fits(&part));
            let range = match from {
                From::Begin => fitting.next(),
                From::End => fitting.next_back(),
            };
            Some((gap, range?))
        });
        let Some((gap, range)) = found else { return Err(self.largest_outside(kept)) };
        self.take_from(&gap, &range);
        Ok(range)
    }

    /// Takes the last place of `bytes`, which are whole units. Looks at each free piece that has room.
    pub(super) fn claim_last(&mut self, bytes: u64) -> Option<Range<u64>> {
        let end = self.smallest(bytes, self.unit).map(|gap| gap.end).max()?;
        Some(end - bytes..end).filter(|last| self.take(last.clone()))
    }

    /// Returns the number of bytes of the largest free piece outside of a range.
    fn largest_outside(&self, kept: &Range<u64>) -> u64 {
        let mut largest = 0;
        for (len, start) in self.by_len.iter().rev() {
            if *len <= largest {
                break;
            }
            let parts = outside(&(*start..start + len), kept, self.unit);
            largest = parts.map(|part| part.end - part.start).fold(largest, u64::max);
        }
        largest
    }

    /// Returns the number of free bytes.
    pub(super) const fn free(&self) -> u64 {
        self.free
    }

    /// Returns the number of bytes of the largest free piece.
    pub(super) fn largest_len(&self) -> u64 {
        self.by_len.last().map_or(0, |(len, _)| *len)
    }

    /// Returns the largest free pieces: at most `most` that have at least `least` bytes.
    pub(super) fn largest_pieces(&self, least: u64, most: usize) -> Vec<Range<u64>> {
        let pieces = self.by_len.range((least, 0)..).rev().take(most);
        pieces.map(|(len, start)| *start..start + len).collect()
    }

    pub(super) const fn unit(&self) -> u64 {
        self.unit
    }

    /// Returns the end of the store.
    pub(super) const fn end(&self) -> u64 {
        self.bounds.end
    }

    /// Returns the number of bytes that can be used in all.
    pub(super) const fn len(&self) -> u64 {
        self.bounds.end - self.bounds.start
    }

    /// Returns the ranges in use.
    pub(super) fn used(&self) -> impl Iterator<Item = Range<u64>> {
        let starts = core::iter::once(self.bounds.start).chain(self.gaps.values().copied());
        let ends = self.gaps.keys().copied().chain(core::iter::once(self.bounds.end));
        starts.zip(ends).map(|(start, end)| start..end).filter(|range| !range.is_empty())
    }
}

/// Returns the parts of a free piece before and after a range, in whole units.
fn outside(
    gap: &Range<u64>,
    kept: &Range<u64>,
    unit: u64,
) -> impl DoubleEndedIterator<Item = Range<u64>> + use<> {
    let before = gap.start..gap.end.min(kept.start / unit * unit);
    let after = gap.start.max(kept.end.next_multiple_of(unit))..gap.end;
    [before, after].into_iter().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{From, NOTHING, Space};
    use core::ops::Range;

    fn space(used: impl IntoIterator<Item = Range<u64>>) -> Space {
        let mut space = Space::new(1024..2048, 64);
        assert!(used.into_iter().all(|range| space.take(range)));
        space
    }

    fn claim(space: &mut Space, bytes: u64, alignment: u64, from: From) -> Result<Range<u64>, u64> {
        space.claim(bytes, alignment, from, &NOTHING)
    }

    #[test]
    fn blobs_come_from_the_begin_and_tables_from_the_end() {
        let mut space = space(Some(1088..1152));
        assert_eq!(claim(&mut space, 64, 64, From::Begin), Ok(1024..1088));
        assert_eq!(claim(&mut space, 128, 64, From::Begin), Ok(1152..1280));
        assert_eq!(claim(&mut space, 64, 64, From::End), Ok(1984..2048));
        assert_eq!(claim(&mut space, 64, 512, From::Begin), Ok(1536..1600));
        assert_eq!(claim(&mut space, 512, 64, From::Begin), Err(384));
        space.give(&(1536..1600));
        assert_eq!(claim(&mut space, 704, 64, From::Begin), Ok(1280..1984));
        assert_eq!(claim(&mut space, 64, 64, From::Begin), Err(0));
    }

    #[test]
    fn overlapping_or_outside_ranges_are_not_taken() {
        let mut space = space([1088..1152, 1280..1408]);
        for wrong in [960..1088, 1024..1152, 1100..1110, 1024..1500, 1984..2112, 1344..1472] {
            assert!(!space.take(wrong.clone()), "{wrong:?}");
        }
        assert!(space.take(1152..1280));
    }

    #[test]
    fn a_returned_range_merges_with_free_neighbours() {
        let mut space = space([1088..1152, 1152..1216, 1216..1280]);
        space.give(&(1088..1152));
        space.give(&(1216..1280));
        assert_eq!(claim(&mut space.clone(), 192, 64, From::Begin), Ok(1216..1408));
        space.give(&(1152..1216));
        assert_eq!(claim(&mut space, 1024, 64, From::Begin), Ok(1024..2048));
        assert!(space.used().eq(Some(1024..2048)));
        space.shorten(&(1024..2048), 1088);
        assert!(space.used().eq(Some(1024..1088)));
    }

    #[test]
    fn space_beside_a_kept_range_is_used_by_whole_units() {
        let mut space = space(None);
        let kept = 1100..1290;
        let claim = |space: &mut Space, bytes, from| space.claim(bytes, 64, from, &kept);
        assert_eq!(claim(&mut space, 1024, From::Begin), Err(2048 - 1344));
        assert_eq!(claim(&mut space, 128, From::Begin), Ok(1344..1472));
        assert_eq!(claim(&mut space, 64, From::Begin), Ok(1024..1088));
        assert_eq!(claim(&mut space, 576, From::End), Ok(1472..2048));
        assert_eq!(claim(&mut space, 64, From::End), Err(0));
    }
}
