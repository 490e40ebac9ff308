//! The kinds of failures: one end and one first line of the output, but for numbers and hashes.

use crate::check::Failure;

/// Failures by their kinds, each with what belongs to it.
#[derive(Debug)]
pub struct Kinds<T>(Vec<(Failure, Vec<T>)>);

impl<T> Default for Kinds<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Kinds<T> {
    /// Adds a failure. Returns true if it is the first of its kind.
    pub fn add(&mut self, failure: &Failure, with: T) -> bool {
        let kind = failure.kind();
        if let Some((_, all)) = self.0.iter_mut().find(|(first, _)| first.kind() == kind) {
            all.push(with);
            return false;
        }
        self.0.push((failure.clone(), vec![with]));
        true
    }

    /// Returns the number of failures.
    pub fn failures(&self) -> usize {
        self.0.iter().map(|(_, all)| all.len()).sum()
    }

    /// Returns the first failure of each kind and what belongs to all of them, the commonest kind first.
    pub fn by_number(&self) -> Vec<(&Failure, &[T])> {
        let mut kinds: Vec<_> = self.0.iter().map(|(first, all)| (first, &**all)).collect();
        kinds.sort_by_key(|(_, all)| core::cmp::Reverse(all.len()));
        kinds
    }
}
