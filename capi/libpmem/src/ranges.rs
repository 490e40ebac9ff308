//! Directly mapped ranges: by `MAP_SYNC`, or from a device.

use core::ops::Range;

/// A range, and the facts about its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<T> {
    range: Range<usize>,
    memory: T,
}

/// Non-overlapping ranges in ascending order. A range can be removed in part, as it can be unmapped in part.
#[derive(Debug)]
pub(crate) struct Ranges<T>(Vec<Entry<T>>);

/// The error if the allocator has no memory.
#[derive(Debug)]
pub(crate) struct OutOfMemory;

/// Puts a value into its own box.
pub(crate) fn boxed<T>(value: T) -> Result<Box<[T; 1]>, OutOfMemory> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_full| OutOfMemory)?;
    one.push(value);
    one.into_boxed_slice().try_into().map_err(|_other| OutOfMemory)
}

impl<T: Clone> Ranges<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns true if a range overlaps none of these.
    pub(crate) fn is_apart(&self, range: &Range<usize>) -> bool {
        self.first_in(range).is_none()
    }

    /// Returns these ranges and one that the kernel has mapped. Existing ranges there were unmapped without the
    /// library's knowledge.
    pub(crate) fn with(&self, range: Range<usize>, memory: T) -> Result<Self, OutOfMemory> {
        let mut ranges = self.without(&range)?;
        let place = ranges.0.partition_point(|entry| entry.range.end <= range.start);
        ranges.0.insert(place, Entry { range, memory });
        Ok(ranges)
    }

    /// Returns these ranges without the parts that are in `range`.
    pub(crate) fn without(&self, range: &Range<usize>) -> Result<Self, OutOfMemory> {
        let mut ranges = Self::new();
        // The range may split one into two, and `with` adds one.
        let most = self.0.len().saturating_add(2);
        ranges.0.try_reserve_exact(most).map_err(|_full| OutOfMemory)?;
        ranges.0.extend_from_slice(&self.0);
        ranges.remove(range);
        Ok(ranges)
    }

    /// Removes a range. There must be room for another entry, in case it splits one.
    fn remove(&mut self, range: &Range<usize>) {
        let first = self.0.partition_point(|entry| entry.range.end <= range.start);
        let end = self.0.partition_point(|entry| entry.range.start < range.end);
        if range.is_empty() || first >= end {
            return;
        }
        let part = |entry: Option<&Entry<T>>, range: Range<usize>| {
            let memory = entry.filter(|_| !range.is_empty())?.memory.clone();
            Some(Entry { range, memory })
        };
        let (one, other) = (self.0.get(first), self.0.get(end.saturating_sub(1)));
        let before = part(one, one.map_or(0, |entry| entry.range.start)..range.start);
        let after = part(other, range.end..other.map_or(0, |entry| entry.range.end));
        self.0.splice(first..end, before.into_iter().chain(after));
    }

    /// Returns the first part of a range that lies in one of these, and the facts about its memory.
    pub(crate) fn first_in(&self, range: &Range<usize>) -> Option<(Range<usize>, T)> {
        let place = self.0.partition_point(|entry| entry.range.end <= range.start);
        let entry = self.0.get(place)?;
        let part = entry.range.start.max(range.start)..entry.range.end.min(range.end);
        (!part.is_empty()).then(|| (part, entry.memory.clone()))
    }

    /// Returns true if the whole range, which is not empty, lies in ranges that `accept` accepts.
    pub(crate) fn all(&self, range: &Range<usize>, accept: impl Fn(&T) -> bool) -> bool {
        let place = self.0.partition_point(|entry| entry.range.end <= range.start);
        let mut at = range.start;
        for entry in self.0.get(place..).unwrap_or_default() {
            if at >= range.end || entry.range.start > at || !accept(&entry.memory) {
                break;
            }
            at = entry.range.end;
        }
        !range.is_empty() && at >= range.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(Range<usize>, char)]) -> Ranges<char> {
        let mut ranges = Ranges::new();
        for (range, memory) in entries {
            ranges = ranges.with(range.clone(), *memory).unwrap();
        }
        ranges
    }

    fn shown(ranges: &Ranges<char>) -> Vec<(Range<usize>, char)> {
        ranges.0.iter().map(|entry| (entry.range.clone(), entry.memory)).collect()
    }

    #[test]
    fn a_range_is_removed_in_part() {
        let all = [(10..20, 'a'), (20..30, 'b'), (40..50, 'c')];
        for (removed, left) in [
            (0..10, all.to_vec()),
            (30..40, all.to_vec()),
            (15..15, all.to_vec()),
            (12..15, vec![(10..12, 'a'), (15..20, 'a'), (20..30, 'b'), (40..50, 'c')]),
            (5..15, vec![(15..20, 'a'), (20..30, 'b'), (40..50, 'c')]),
            (15..45, vec![(10..15, 'a'), (45..50, 'c')]),
            (10..20, vec![(20..30, 'b'), (40..50, 'c')]),
            (0..60, vec![]),
        ] {
            let ranges = of(&all).without(&removed).unwrap();
            assert_eq!(shown(&ranges), left, "{removed:?}");
        }
    }

    #[test]
    fn a_range_replaces_those_that_were_unmapped_behind_the_back() {
        let ranges = of(&[(10..20, 'a'), (20..30, 'b')]).with(15..25, 'n').unwrap();
        assert_eq!(shown(&ranges), [(10..15, 'a'), (15..25, 'n'), (25..30, 'b')]);
    }

    #[test]
    fn a_range_over_a_gap_is_not_in_the_ranges() {
        let ranges = of(&[(10..20, 'a'), (20..30, 'b'), (40..50, 'c')]);
        for (range, is_in) in [
            (10..30, true),
            (12..25, true),
            (9..12, false),
            (25..31, false),
            (25..45, false),
            (40..50, true),
            (45..45, false),
        ] {
            assert_eq!(ranges.all(&range, |_| true), is_in, "{range:?}");
        }
        assert!(!ranges.all(&(10..30), |memory| *memory == 'a'));
        assert!(ranges.all(&(11..20), |memory| *memory == 'a'));
        assert_eq!(ranges.first_in(&(5..60)), Some((10..20, 'a')));
        assert_eq!(ranges.first_in(&(30..45)), Some((40..45, 'c')));
        assert_eq!(ranges.first_in(&(30..40)), None);
    }

    /// Compares random changes with a list of the memory at each address.
    #[test]
    fn changes_have_the_results_of_a_list_of_addresses() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut ranges, mut model) = (Ranges::new(), [None; 64]);
        for _ in 0..5000 {
            let start = random.usize(0..=64);
            let range = start..random.usize(start..=64);
            if random.bool() && !range.is_empty() {
                let memory = random.lowercase();
                ranges = ranges.with(range.clone(), memory).unwrap();
                model[range.clone()].fill(Some(memory));
            } else {
                ranges = ranges.without(&range).unwrap();
                model[range.clone()].fill(None);
            }
            assert!(ranges.0.is_sorted_by(|one, next| one.range.end <= next.range.start));
            let listed = |at| ranges.first_in(&(at..at + 1)).map(|(_, memory)| memory);
            assert!((0..64).all(|at| listed(at) == model[at]), "{ranges:?}");
            let start = random.usize(0..64);
            let range = start..random.usize(start..64) + 1;
            assert_eq!(ranges.all(&range, |_| true), !model[range].contains(&None));
        }
    }
}
