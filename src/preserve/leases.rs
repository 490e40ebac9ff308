//! The list of leases that a store and its readers share.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The leases of a process on a store.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Arc<Mutex<Vec<Range<u64>>>>);

impl Leases {
    /// A panic elsewhere leaves the list whole.
    pub(super) fn list(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        #[cfg(all(feature = "sim", debug_assertions))]
        crate::sim::sync::preemptible();
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first part of a range that a lease is on.
    pub(super) fn first_in(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let list = self.list();
        let parts = list
            .iter()
            .map(|lease| lease.start.max(range.start)..lease.end.min(range.end))
            .filter(|part| !part.is_empty());
        parts.min_by_key(|part| part.start)
    }
}

/// The leases of a reader.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) leases: Leases,
    /// True if the store that writes shares the list. Other writers see a lease through the medium alone.
    pub(super) is_of_store: bool,
}

impl Held {
    /// The leases of a reader that are among those of a store.
    pub(super) fn of_store(leases: &Leases) -> Self {
        Self { leases: leases.clone(), is_of_store: true }
    }
}
