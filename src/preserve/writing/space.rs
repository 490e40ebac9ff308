//! Free space of a store. It is computed from the table when a store is opened, so nothing can leak.
//!
//! # Work
//! Each operation takes logarithmic time in the number of free pieces, and looks besides at each piece that a lease is on
//! or that an alignment above the unit keeps from being used. Taking the last place looks at each piece that has room.

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

/// Asks if something of a free range may not be used yet, and returns the first such part of it.
pub(super) type Leased<'l, E> = dyn Fn(&Range<u64>) -> Result<Option<Range<u64>>, E> + 'l;

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

    /// Takes `bytes` in one piece that begins at a multiple of `alignment`. If there is no such piece, returns the
    /// length of the largest one.
    pub(super) fn claim<E>(
        &mut self,
        bytes: u64,
        alignment: u64,
        from: From,
        leased: &Leased<'_, E>,
    ) -> Result<Result<Range<u64>, u64>, E> {
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
            return Ok(if start <= self.bounds.end { Ok(start..start) } else { Err(0) });
        }
        let mut found = None;
        // The nearest pieces serve almost always. Asking for leases can be a system call, so ask only where the piece is large
        // enough without any lease.
        let smallest = core::iter::once_with(|| self.smallest(bytes, alignment)).flatten();
        for gap in self.nearest(from).chain(smallest).filter(|gap| fits(gap).is_some()) {
            let mut last = None;
            for part in usable(gap.clone(), self.unit, leased) {
                last = fits(&part?).or(last);
                if last.is_some() && from == From::Begin {
                    break;
                }
            }
            if let Some(range) = last {
                found = Some((gap, range));
                break;
            }
        }
        let Some((gap, range)) = found else {
            return Ok(Err(self.largest_len(leased)?));
        };
        self.take_from(&gap, &range);
        Ok(Ok(range))
    }

    /// Takes the last place of `bytes`, which are whole units. Looks at each free piece that has room.
    pub(super) fn claim_last<E>(
        &mut self,
        bytes: u64,
        leased: &Leased<'_, E>,
    ) -> Result<Option<Range<u64>>, E> {
        let mut end = None;
        for gap in self.smallest(bytes, self.unit) {
            for part in usable(gap, self.unit, leased) {
                let part = part?;
                if part.end - part.start >= bytes {
                    end = end.max(Some(part.end));
                }
            }
        }
        Ok(end.map(|end| end - bytes..end).filter(|last| self.take(last.clone())))
    }

    /// Takes the largest free piece from a multiple of `alignment` on. It may be empty.
    pub(super) fn claim_largest<E>(
        &mut self,
        alignment: u64,
        leased: &Leased<'_, E>,
    ) -> Result<Range<u64>, E> {
        let range = self.largest(alignment, leased)?;
        self.take(range.clone());
        Ok(range)
    }

    /// Returns the largest piece from a multiple of `alignment` on that may be used.
    fn largest<E>(&self, alignment: u64, leased: &Leased<'_, E>) -> Result<Range<u64>, E> {
        // An empty one must lie in the store, too.
        let mut largest = self.bounds.start..self.bounds.start;
        for (len, start) in self.by_len.iter().rev() {
            if *len <= largest.end - largest.start {
                break;
            }
            for part in usable(*start..start + len, self.unit, leased) {
                let part = part?;
                let start = part.start.checked_next_multiple_of(alignment).unwrap_or(part.end);
                if part.end.saturating_sub(start) > largest.end - largest.start {
                    largest = start..part.end;
                }
            }
        }
        Ok(largest)
    }

    /// Returns the number of free bytes.
    pub(super) const fn free(&self) -> u64 {
        self.free
    }

    /// Returns the number of bytes of the largest piece that may be used.
    pub(super) fn largest_len<E>(&self, leased: &Leased<'_, E>) -> Result<u64, E> {
        let largest = self.largest(1, leased)?;
        Ok(largest.end - largest.start)
    }

    /// Returns the usable parts of the largest free pieces: of at most `most` pieces that have at least `least` bytes.
    pub(super) fn largest_pieces<E>(
        &self,
        least: u64,
        most: usize,
        leased: &Leased<'_, E>,
    ) -> Result<Vec<Range<u64>>, E> {
        let pieces = self.by_len.range((least, 0)..).rev().take(most);
        pieces.flat_map(|(len, start)| usable(*start..start + len, self.unit, leased)).collect()
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

/// Returns the parts of a free piece that may be used, in order.
fn usable<E>(
    gap: Range<u64>,
    unit: u64,
    leased: &Leased<'_, E>,
) -> impl Iterator<Item = Result<Range<u64>, E>> {
    let mut rest = gap;
    let next = move || {
        while !rest.is_empty() {
            let lease = match leased(&rest) {
                Ok(lease) => lease.unwrap_or(rest.end..rest.end),
                Err(error) => return Some(Err(error)),
            };
            let free = rest.start..lease.start / unit * unit;
            rest.start = lease.end.next_multiple_of(unit).min(rest.end);
            if !free.is_empty() {
                return Some(Ok(free));
            }
        }
        None
    };
    core::iter::from_fn(next)
}

#[cfg(test)]
mod tests {
    use super::{From, Space};
    use core::convert::Infallible;
    use core::ops::Range;

    fn space(used: impl IntoIterator<Item = Range<u64>>) -> Space {
        let mut space = Space::new(1024..2048, 64);
        assert!(used.into_iter().all(|range| space.take(range)));
        space
    }

    fn claim(space: &mut Space, bytes: u64, alignment: u64, from: From) -> Result<Range<u64>, u64> {
        let Ok(claimed) = space.claim(bytes, alignment, from, &|_| Ok::<_, Infallible>(None));
        claimed
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
    fn leased_space_is_not_used() {
        let mut space = space(None);
        let leased = |range: &Range<u64>| {
            let lease = 1100..1290;
            let overlaps = range.start < lease.end && lease.start < range.end;
            Ok::<_, Infallible>(overlaps.then_some(lease.start.max(range.start)..lease.end))
        };
        let Ok(largest) = space.largest_len(&leased);
        assert_eq!((space.free(), largest), (1024, 2048 - 1344));
        let Ok(claimed) = space.claim(128, 64, From::Begin, &leased);
        assert_eq!(claimed, Ok(1344..1472));
        let Ok(largest) = space.claim_largest(256, &leased);
        assert_eq!(largest, 1536..2048);
        let Ok(claimed) = space.claim(64, 64, From::End, &leased);
        assert_eq!(claimed, Ok(1472..1536));
    }
}
