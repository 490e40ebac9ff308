//! Which bytes of a store are in use. It is worked out from the table, so there is nothing to leak.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes in use, by where they begin. What is free lies between.
#[derive(Clone, Debug, Default)]
pub(super) struct Space {
    used: BTreeMap<u64, u64>,
    /// All that can be used.
    bounds: Range<u64>,
    unit: u64,
}

/// From which end something is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Blobs: in the first place that is large enough.
    Begin,
    /// Tables, which come and go with each commit, so that they do not part what is free.
    End,
}

/// Whether something of a free range may not be used yet: the first such part of it.
pub(super) type Leased<'l, E> = dyn Fn(&Range<u64>) -> Result<Option<Range<u64>>, E> + 'l;

impl Space {
    pub(super) fn new(bounds: Range<u64>, unit: u64) -> Self {
        Self { used: BTreeMap::new(), bounds, unit }
    }

    /// There is more of it now.
    #[cfg(feature = "dax")]
    pub(super) fn extend_to(&mut self, end: u64) {
        self.bounds.end = end;
    }

    /// Takes a range that must be free; whether it was.
    pub(super) fn take(&mut self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let lies_within = self.bounds.start <= range.start && range.end <= self.bounds.end;
        let before = self.used.range(..range.end).next_back();
        if !lies_within || before.is_some_and(|(_, end)| *end > range.start) {
            return false;
        }
        self.used.insert(range.start, range.end);
        true
    }

    /// Gives a range back that was taken.
    pub(super) fn give(&mut self, range: &Range<u64>) {
        if !range.is_empty() {
            self.used.remove(&range.start);
        }
    }

    /// Cuts the end of a range off that was taken.
    pub(super) fn shorten(&mut self, range: &Range<u64>, end: u64) {
        self.give(range);
        self.take(range.start..end);
    }

    /// What is free, in order.
    pub(super) fn gaps(&self) -> impl Iterator<Item = Range<u64>> {
        let begins = core::iter::once(self.bounds.start).chain(self.used.values().copied());
        let ends = self.used.keys().copied().chain(core::iter::once(self.bounds.end));
        begins.zip(ends).map(|(begin, end)| begin..end).filter(|gap| !gap.is_empty())
    }

    /// What is free and may be used, in order.
    fn usable<E>(&self, leased: &Leased<'_, E>) -> Result<Vec<Range<u64>>, E> {
        let mut usable = Vec::new();
        for mut gap in self.gaps() {
            while let Some(lease) = leased(&gap)? {
                let free = gap.start..lease.start / self.unit * self.unit;
                usable.extend(Some(free).filter(|free| !free.is_empty()));
                gap.start = lease.end.next_multiple_of(self.unit).min(gap.end);
            }
            usable.extend(Some(gap).filter(|gap| !gap.is_empty()));
        }
        Ok(usable)
    }

    /// Takes so many bytes in one piece that begins at a multiple of `alignment`; else says how many there are
    /// in the largest.
    pub(super) fn claim<E>(
        &mut self,
        bytes: u64,
        alignment: u64,
        from: From,
        leased: &Leased<'_, E>,
    ) -> Result<Result<Range<u64>, u64>, E> {
        let fits = |gap: Range<u64>| {
            let start = match from {
                From::Begin => gap.start.checked_next_multiple_of(alignment)?,
                From::End => gap.end.checked_sub(bytes)? / alignment * alignment,
            };
            let range = start..start.checked_add(bytes)?;
            (gap.start <= range.start && range.end <= gap.end).then_some(range)
        };
        let usable = self.usable(leased)?;
        let found = match from {
            From::Begin => usable.iter().cloned().find_map(fits),
            From::End => usable.iter().cloned().rev().find_map(fits),
        };
        let Some(range) = found else {
            return Ok(Err(usable.iter().map(|gap| gap.end - gap.start).max().unwrap_or(0)));
        };
        self.take(range.clone());
        Ok(Ok(range))
    }

    /// Takes the largest free piece from a multiple of `alignment` on. It may be empty.
    pub(super) fn claim_largest<E>(
        &mut self,
        alignment: u64,
        leased: &Leased<'_, E>,
    ) -> Result<Range<u64>, E> {
        let aligned = |gap: &Range<u64>| {
            let start = gap.start.checked_next_multiple_of(alignment).unwrap_or(gap.end);
            start.min(gap.end)..gap.end
        };
        let usable = self.usable(leased)?;
        let largest = usable.iter().map(aligned).max_by_key(|gap| gap.end - gap.start);
        // Nothing is in nothing, but where it is must lie in the store.
        let range = largest.unwrap_or(self.bounds.start..self.bounds.start);
        self.take(range.clone());
        Ok(range)
    }

    /// Bytes that are free, and of these the largest piece that may be used.
    pub(super) fn free<E>(&self, leased: &Leased<'_, E>) -> Result<(u64, u64), E> {
        let free = self.gaps().map(|gap| gap.end - gap.start).sum();
        let largest = self.usable(leased)?.iter().map(|gap| gap.end - gap.start).max();
        Ok((free, largest.unwrap_or(0)))
    }

    /// Bytes that can be used in all.
    pub(super) const fn len(&self) -> u64 {
        self.bounds.end - self.bounds.start
    }

    /// What is in use.
    pub(super) fn used(&self) -> impl Iterator<Item = Range<u64>> {
        self.used.iter().map(|(start, end)| *start..*end)
    }
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
    fn what_overlaps_or_leads_out_is_not_taken() {
        let mut space = space([1088..1152, 1280..1408]);
        for wrong in [960..1088, 1024..1152, 1100..1110, 1024..1500, 1984..2112, 1344..1472] {
            assert!(!space.take(wrong.clone()), "{wrong:?}");
        }
        assert!(space.take(1152..1280));
    }

    #[test]
    fn what_is_leased_is_not_used() {
        let mut space = space(None);
        let leased = |range: &Range<u64>| {
            let lease = 1100..1290;
            let overlaps = range.start < lease.end && lease.start < range.end;
            Ok::<_, Infallible>(overlaps.then_some(lease.start.max(range.start)..lease.end))
        };
        let Ok(free) = space.free(&leased);
        assert_eq!(free, (1024, 2048 - 1344));
        let Ok(claimed) = space.claim(128, 64, From::Begin, &leased);
        assert_eq!(claimed, Ok(1344..1472));
        let Ok(largest) = space.claim_largest(256, &leased);
        assert_eq!(largest, 1536..2048);
        let Ok(claimed) = space.claim(64, 64, From::End, &leased);
        assert_eq!(claimed, Ok(1472..1536));
    }
}
