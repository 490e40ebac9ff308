//! Useless work and missing work: the findings of a run without a crash.

use crate::machine::Place;
use alloc::collections::BTreeMap;
use core::fmt;

/// The kind of waste at a place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A write-back of lines that were not stored to since their last write-back.
    NothingToWriteBack,
    /// A fence of a thread that had written nothing back since its last one.
    NothingToComplete,
    /// A store that was overwritten before it was sure to survive: was it needed?
    Overwritten,
    /// A store that was not persistent at the end.
    NeverPersisted,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingToWriteBack => {
                "writes back nothing that was stored since the last write-back"
            }
            Self::NothingToComplete => "fences with nothing to complete",
            Self::Overwritten => "stores bytes that are overwritten before they are persistent",
            Self::NeverPersisted => "stores bytes that are not persistent at the end",
        })
    }
}

/// The waste in the runs of a workload, by place in the source, with the number of times.
#[derive(Clone, Debug, Default)]
pub struct Waste {
    found: BTreeMap<(Kind, PlaceKey), u64>,
}

/// A place that sorts as it reads.
type PlaceKey = (&'static str, u32, u32);

impl Waste {
    /// Returns each kind and place (file, line, column) with its number of times.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, (&'static str, u32, u32), u64)> + '_ {
        self.found.iter().map(|((kind, place), times)| (*kind, *place, *times))
    }

    /// Returns the number of times that a kind was found.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.iter().filter(|(found, ..)| *found == kind).map(|(.., times)| times).sum()
    }

    /// Returns true if nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Panics if one of these kinds was found, and says where.
    ///
    /// # Panics
    /// If one of these kinds was found.
    #[track_caller]
    pub fn assert_none_of(&self, kinds: &[Kind]) {
        let is_asked = |kind: &Kind| kinds.contains(kind);
        assert!(!self.found.keys().any(|(kind, _)| is_asked(kind)), "{self}");
    }

    pub(crate) fn found(&mut self, kind: Kind, place: Place) {
        *self.found.entry((kind, key(place))).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (found, times) in &other.found {
            *self.found.entry(*found).or_default() += times;
        }
    }
}

fn key(place: Place) -> PlaceKey {
    (place.file(), place.line(), place.column())
}

impl fmt::Display for Waste {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (file, line, column), times) in self.iter() {
            writeln!(f, "{file}:{line}:{column}: {kind} ({times} times)")?;
        }
        Ok(())
    }
}
