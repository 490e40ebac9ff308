//! The regions that a store has handed out.

use crate::medium::WriterLock;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering::Acquire;
use core::sync::atomic::fence;

/// The regions that a store has handed out since it was opened or sealed, by their offsets.
#[derive(Debug, Default)]
pub(super) struct Taken {
    taken: BTreeMap<u64, Take>,
}

/// A region that was handed out.
#[derive(Debug, Default)]
struct Take {
    mark: Weak<WriterLock>,
    /// The number of the last commit before.
    generation: u64,
}

impl Take {
    /// Returns true if the region is in use. If it is not, this thread has observed the stores of all users.
    fn is_in_use(&self) -> bool {
        let in_use = self.mark.strong_count() > 0;
        // The last user has dropped its mark with a release.
        fence(Acquire);
        in_use
    }
}

impl Taken {
    /// Returns true if the region at an offset is in use.
    pub(super) fn is_in_use_at(&self, at: u64) -> bool {
        self.taken.get(&at).is_some_and(Take::is_in_use)
    }

    /// Returns true if the region at an offset was handed out.
    pub(super) fn contains(&self, at: u64) -> bool {
        self.taken.contains_key(&at)
    }

    /// Returns true if a region was handed out after the last commit, of this number.
    pub(super) fn is_noted(&self, at: u64, generation: u64) -> bool {
        self.taken.get(&at).is_some_and(|take| take.generation == generation)
    }

    pub(super) fn take(&mut self, at: u64, generation: u64) -> Arc<WriterLock> {
        let take = self.taken.entry(at).or_default();
        let mark = take.mark.upgrade().unwrap_or_default();
        *take = Take { mark: Arc::downgrade(&mark), generation };
        mark
    }

    /// Forgets the regions that were handed out, which a seal has made clean.
    pub(super) fn clear(&mut self) {
        self.taken.clear();
    }
}
