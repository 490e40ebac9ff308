//! Mutants: operations of a medium, identified by their place in the source, that are weakened.

use crate::machine::Place;
use crate::machine::model::{Model, Order};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The change to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Weakening {
    /// Nothing is written back.
    NoWriteback,
    /// Of several lines (or pages) only the first is written back.
    FirstLineOnly,
    /// Of several lines (or pages) all but the first are written back.
    NotTheFirstLine,
    /// The fence is missing.
    NoFence,
    /// A store releases nothing.
    RelaxedStore,
    /// A load acquires nothing.
    RelaxedLoad,
}

impl Weakening {
    /// Returns true if the weakening can matter: x86 orders ordinary stores and loads, and the neutral model orders
    /// none.
    pub(crate) fn matters(self, model: &Model) -> bool {
        !matches!(self, Self::RelaxedStore | Self::RelaxedLoad) || model.order == Order::Partial
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NoWriteback => "write-back left out",
            Self::FirstLineOnly => "write-back of the first line only",
            Self::NotTheFirstLine => "write-back of all lines but the first",
            Self::NoFence => "fence left out",
            Self::RelaxedStore => "store without release",
            Self::RelaxedLoad => "load without acquire",
        }
    }
}

impl fmt::Display for Weakening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A weakened operation at a place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mutant {
    /// The file of the operation, as the compiler names it.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
    column: u32,
    /// The change.
    pub weakening: Weakening,
}

impl Mutant {
    const fn new(place: Place, weakening: Weakening) -> Self {
        Self { file: place.file(), line: place.line(), column: place.column(), weakening }
    }

    /// Returns the line of source, if the file is found in the working directory or above it.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        let working = std::env::current_dir().ok()?;
        let text = working.ancestors().find_map(|folder| read(&folder.join(self.file)))?;
        let line = text.lines().nth(self.line as usize - 1)?;
        Some(line.trim().to_owned())
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.weakening)
    }
}

/// An observer of a medium that weakens the operation of a mutant, and lists the operations that could be weakened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    mutant: Option<Mutant>,
    seen: Option<Arc<Mutex<BTreeSet<Mutant>>>>,
}

impl Watch {
    pub(crate) const fn weakening(mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), seen: None }
    }

    /// Returns an observer that weakens nothing, and records the operations that could be weakened.
    pub(crate) fn recording() -> Self {
        Self { mutant: None, seen: Some(Arc::default()) }
    }

    pub(crate) const fn is_of_mutant(&self) -> bool {
        self.mutant.is_some()
    }

    /// Returns the seen operations that could be weakened.
    pub(crate) fn seen(&self) -> BTreeSet<Mutant> {
        let seen =
            self.seen.as_ref().map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner));
        seen.map_or_else(BTreeSet::new, |seen| seen.clone())
    }

    fn weakens(&self, place: Place, weakening: Weakening) -> bool {
        let here = Mutant::new(place, weakening);
        if let Some(seen) = &self.seen {
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(here);
        }
        self.mutant == Some(here)
    }

    /// Returns the part of a write-back that is left.
    pub(crate) fn writeback(
        &self,
        range: Range<u64>,
        model: &Model,
        place: Place,
    ) -> Option<Range<u64>> {
        if range.is_empty() {
            return Some(range);
        }
        let boundary = model.end_of_line(range.start);
        let (mut first_only, mut not_first) = (false, false);
        if boundary < range.end {
            first_only = self.weakens(place, Weakening::FirstLineOnly);
            not_first = self.weakens(place, Weakening::NotTheFirstLine);
        }
        let left = match (first_only, not_first) {
            (true, _) => range.start..boundary,
            (_, true) => boundary..range.end,
            _ => range,
        };
        (!self.weakens(place, Weakening::NoWriteback)).then_some(left)
    }

    pub(crate) fn fences(&self, place: Place) -> bool {
        !self.weakens(place, Weakening::NoFence)
    }

    pub(crate) fn store(&self, order: Ordering, place: Place) -> Ordering {
        let is_relaxed = order == Ordering::Relaxed || self.weakens(place, Weakening::RelaxedStore);
        if is_relaxed { Ordering::Relaxed } else { order }
    }

    pub(crate) fn load(&self, order: Ordering, place: Place) -> Ordering {
        let is_relaxed = order == Ordering::Relaxed || self.weakens(place, Weakening::RelaxedLoad);
        if is_relaxed { Ordering::Relaxed } else { order }
    }
}
