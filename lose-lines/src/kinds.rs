//! The kinds of failures: equal but for numbers.

use std::collections::BTreeMap;

use crate::check::Failure;

/// Failures by their kinds, each with what belongs to it.
#[derive(Debug)]
pub struct Kinds<T>(BTreeMap<String, Vec<T>>);

impl<T> Default for Kinds<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Kinds<T> {
    /// Adds a failure. If it is the first of its kind, returns the number of other kinds.
    pub fn add(&mut self, failure: &Failure, with: T) -> Option<usize> {
        let known = self.0.len();
        self.0.entry(failure.kind()).or_default().push(with);
        (self.0.len() > known).then_some(known)
    }

    /// Returns the number of failures.
    pub fn failures(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Returns the kinds, the most frequent one first.
    pub fn by_number(&self) -> Vec<(&str, &[T])> {
        let mut kinds: Vec<_> = self.0.iter().map(|(kind, all)| (&**kind, &**all)).collect();
        kinds.sort_by_key(|(_, all)| core::cmp::Reverse(all.len()));
        kinds
    }
}
