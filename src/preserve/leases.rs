//! The list of leases that a store and its readers share.

use core::ops::Range;
#[cfg(feature = "std")]
use {
    alloc::sync::Arc,
    alloc::vec::Vec,
    std::sync::{Mutex, MutexGuard, PoisonError},
};

/// The leases of a process on a store. Without an operating system the list is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(#[cfg(feature = "std")] Arc<Mutex<Vec<Range<u64>>>>);

impl Leases {
    #[cfg(not(feature = "std"))]
    #[expect(clippy::unused_self, reason = "there are some with an operating system")]
    const fn list(&self) -> &[Range<u64>] {
        &[]
    }

    /// A panic elsewhere leaves the list whole.
    #[cfg(feature = "std")]
    pub(super) fn list(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        #[cfg(all(feature = "sim", debug_assertions))]
        crate::sim::sync::preemptible();
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first leased part of a range.
    pub(super) fn first_in(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let list = self.list();
        let parts = list
            .iter()
            .map(|lease| lease.start.max(range.start)..lease.end.min(range.end))
            .filter(|part| !part.is_empty());
        parts.min_by_key(|part| part.start)
    }
}
