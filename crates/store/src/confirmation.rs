//! The confirmation word of the last record, stored once the record is durable.

use crate::blob_writer::is_by_pages;
use crate::error::Error;
use crate::format::record::CONFIRMATION;
use crate::store::Store;
use cachemaint::medium::Medium;
use core::sync::atomic::Ordering::Relaxed;

impl<M: Medium> Store<M> {
    /// Closes the store, and makes it durable that its last commit was acknowledged: later damage to that commit is
    /// reported, and never taken for a crash. [Regions](crate::Region) can outlive the store.
    ///
    /// Dropping the store does the same, but cannot report a failure. In a forked child, or while the thread panics,
    /// the drop writes nothing.
    ///
    /// # Errors
    /// If the medium fails. Each acknowledged commit is durable anyway.
    ///
    /// # Cost
    /// The write-back of two lines, and one fence.
    pub fn close(mut self) -> Result<(), Error<M::Error>> {
        self.vouch()
    }

    /// Stores the confirmation word of the last record, without a write-back. Finding it proves that the record and its
    /// blobs were durable. With page granularity, it goes into one mirror only, since a drive may lose the blocks that
    /// it writes.
    pub(crate) fn confirm(&mut self) {
        let mirrors = if is_by_pages(&*self.medium) { 1 } else { 2 };
        for (at, word) in self.confirmations().into_iter().take(mirrors) {
            self.medium.store(at, word, Relaxed);
        }
        self.is_vouched = false;
    }

    /// Returns the places of the confirmation words of the last record, and the word.
    fn confirmations(&self) -> [(u64, u64); 2] {
        let (end, word) = (self.state.end, self.log.confirmation(self.state.end));
        self.log.places.current.map(|mirror| (mirror + end - CONFIRMATION, word))
    }

    /// Makes the confirmation words of the last record durable, unless something already vouches for it.
    pub(crate) fn vouch(&mut self) -> Result<(), Error<M::Error>> {
        self.check_is_usable()?;
        if self.is_vouched {
            return Ok(());
        }
        self.has_failed = true;
        for (at, word) in self.confirmations() {
            self.medium.store(at, word, Relaxed);
            self.medium.issue_writeback(at..at + CONFIRMATION).map_err(Error::medium)?;
        }
        self.medium.fence().map_err(Error::medium)?;
        self.medium.check().map_err(Error::medium)?;
        (self.has_failed, self.is_vouched) = (false, true);
        Ok(())
    }
}

/// Does the same as [`Store::close`], without a report. A forked child has no mapping of the medium.
impl<M: Medium> Drop for Store<M> {
    fn drop(&mut self) {
        if self.opener.may_write() {
            drop(self.vouch());
        }
    }
}
