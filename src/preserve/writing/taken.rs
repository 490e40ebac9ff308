//! The regions that a store has handed out.

use crate::medium::WriterLock;
use crate::preserve::format::table::Entry;
use crate::preserve::info::{Content, Info};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering::Acquire;
use core::sync::atomic::fence;

/// The regions that a store has handed out since it was opened or sealed, by their offsets.
#[derive(Debug, Default)]
pub(super) struct Taken {
    taken: BTreeMap<u64, Take>,
    /// The entries before their uses were noted, of regions that are still to be handed out.
    noted: BTreeMap<u64, Info>,
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
    /// Returns true if an entry is one of a region that is in use.
    pub(super) fn is_in_use(&self, entry: &Entry) -> bool {
        // An empty blob can have the same offset.
        entry.content == Content::Region && self.is_in_use_at(entry.at)
    }

    /// Returns true if the region at an offset is in use.
    pub(super) fn is_in_use_at(&self, at: u64) -> bool {
        self.taken.get(&at).is_some_and(Take::is_in_use)
    }

    /// Returns true if the region at an offset was handed out.
    pub(super) fn contains(&self, at: u64) -> bool {
        self.taken.contains_key(&at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Returns true if a region was handed out after the last commit, of this number.
    pub(super) fn is_noted(&self, at: u64, generation: u64) -> bool {
        self.taken.get(&at).is_some_and(|take| take.generation == generation)
    }

    /// Returns the entry of a region as it was before calls that noted its use, but failed to hand it out.
    pub(super) fn before(&self, found: &Info) -> Info {
        let noted = self.noted.get(&found.offset).filter(|noted| noted.is(found));
        let Info { is_dirty, generation, .. } = *noted.unwrap_or(found);
        Info { is_dirty, generation, ..*found }
    }

    /// Keeps the entry of a region whose use is about to be noted.
    pub(super) fn keep(&mut self, before: &Info) {
        self.noted.insert(before.offset, *before);
    }

    pub(super) fn take(&mut self, at: u64, generation: u64) -> Arc<WriterLock> {
        self.noted.remove(&at);
        let take = self.taken.entry(at).or_default();
        let mark = take.mark.upgrade().unwrap_or_default();
        *take = Take { mark: Arc::downgrade(&mark), generation };
        mark
    }

    /// Forgets the regions that were handed out, which a seal has made clean.
    pub(super) fn clear(&mut self) {
        let taken = core::mem::take(&mut self.taken);
        self.noted.retain(|at, _| !taken.contains_key(at));
    }
}
