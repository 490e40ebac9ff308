//! The leases that an open file holds.
//!
//! The kernel merges the locks of an open file, and does not report them to the same open file. So the process keeps a
//! list of them: to release only bytes without another lease, and to show a writer the leases of its own file.

use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

/// The leases that an open file holds, in bytes of the file. The kernel has a lock on each of these bytes.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The leases of [`DaxView::lease`](super::DaxView::lease). No two of them touch.
    merged: Vec<Range<u64>>,
    /// The leases of [`Readable::lease_range`](crate::medium::Readable::lease_range), each with a release of its own.
    counted: Vec<Range<u64>>,
    /// True if the kernel was asked for a lock.
    is_expected: bool,
}

impl Held {
    /// Notes that the kernel is asked for a lock.
    pub(super) const fn expect(&mut self) {
        self.is_expected = true;
    }

    /// Returns true if the kernel may have a lock for this open file.
    pub(super) const fn is_expected(&self) -> bool {
        self.is_expected
    }

    /// Adds a lease that merges with others of its kind.
    pub(super) fn merge(&mut self, range: &Range<u64>) {
        let mut all = range.clone();
        self.merged.retain(|other| {
            let is_apart = other.end < all.start || all.end < other.start;
            if !is_apart {
                all = all.start.min(other.start)..all.end.max(other.end);
            }
            is_apart
        });
        self.merged.push(all);
    }

    /// Removes the bytes of a range from the merged leases.
    pub(super) fn cut(&mut self, range: &Range<u64>) {
        self.merged = mem::take(&mut self.merged)
            .into_iter()
            .flat_map(|lease| {
                [lease.start..lease.end.min(range.start), lease.start.max(range.end)..lease.end]
            })
            .filter(|part| !part.is_empty())
            .collect();
    }

    /// Adds a lease that is released on its own.
    pub(super) fn push(&mut self, range: &Range<u64>) {
        self.counted.push(range.clone());
    }

    /// Removes one of the leases of [`push`](Self::push) with this range.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        if let Some(at) = self.counted.iter().position(|lease| lease == range) {
            self.counted.swap_remove(at);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Range<u64>> {
        self.merged.iter().chain(&self.counted)
    }

    /// Returns the first leased part of a range.
    pub(super) fn first_in(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let parts = self.all().map(|lease| lease.start.max(range.start)..lease.end.min(range.end));
        parts.filter(|part| !part.is_empty()).min_by_key(|part| part.start)
    }

    /// Returns the parts of a range that are not leased.
    pub(super) fn uncovered(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let (mut parts, mut rest) = (Vec::new(), range.clone());
        while !rest.is_empty() {
            let lease = self.first_in(&rest).unwrap_or(rest.end..rest.end);
            if rest.start < lease.start {
                parts.push(rest.start..lease.start);
            }
            rest.start = lease.end;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::Held;
    use alloc::vec::Vec;

    /// Returns the first and the last byte of each part of 64 to 127 that is released, if these leases are held.
    fn released(merged: &[(u64, u64)], counted: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut held = Held::default();
        for (start, end) in merged {
            held.merge(&(*start..*end));
        }
        for (start, end) in counted {
            held.push(&(*start..*end));
        }
        let parts = held.uncovered(&(64..128));
        parts.iter().map(|part| (part.start, part.end - 1)).collect()
    }

    #[test]
    fn only_bytes_without_another_lease_are_released() {
        assert_eq!(released(&[], &[]), [(64, 127)]);
        for (merged, counted) in [(true, false), (false, true), (true, true)] {
            let released = |leases: &[(u64, u64)]| {
                let of = |is_there: bool| if is_there { leases } else { &[] };
                released(of(merged), of(counted))
            };
            assert_eq!(released(&[(64, 128)]), []);
            assert_eq!(released(&[(64, 256)]), []);
            assert_eq!(released(&[(0, 80)]), [(80, 127)]);
            assert_eq!(released(&[(100, 256)]), [(64, 99)]);
            assert_eq!(released(&[(0, 256), (70, 80)]), []);
            // Unordered, overlapping, and beside the range.
            let others = [(96, 104), (80, 100), (0, 64), (128, 256)];
            assert_eq!(released(&others), [(64, 79), (104, 127)]);
        }
        assert_eq!(released(&[(64, 80)], &[(72, 96)]), [(96, 127)]);
    }

    #[test]
    fn merged_leases_are_cut_whatever_order_they_came_in() {
        let mut held = Held::default();
        for range in [300..400, 100..200, 200..300, 150..250] {
            held.merge(&range);
        }
        assert!(held.merged.iter().eq([&(100..400)]), "{held:?}");
        held.cut(&(150..250));
        assert_eq!(held.merged, [100..150, 250..400]);
        held.cut(&(0..100));
        held.cut(&(150..250));
        assert_eq!(held.merged, [100..150, 250..400]);
        held.cut(&(0..1000));
        assert!(held.merged.is_empty(), "{held:?}");
    }

    #[test]
    fn each_counted_lease_is_released_on_its_own() {
        let mut held = Held::default();
        held.push(&(10..20));
        held.push(&(10..20));
        held.merge(&(0..15));
        held.cut(&(0..100));
        assert_eq!(held.first_in(&(0..100)), Some(10..20), "cutting leaves counted leases");
        held.remove(&(10..20));
        assert_eq!(held.first_in(&(12..16)), Some(12..16), "one of two is left");
        held.remove(&(10..20));
        assert_eq!(held.first_in(&(0..100)), None);
        held.remove(&(10..20));
    }
}
