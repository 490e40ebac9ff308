//! Write-back of the events of all threads.

use super::format::Geometry;
use super::{Cursor, Recorder};
use cachemaint::medium::Medium;
use core::sync::atomic::Ordering;

impl<M: Medium> Recorder<'_, M> {
    /// Writes back all events that this opening has recorded before the call and that were not written back yet. They are
    /// persistent when this returns. An event that another thread has not finished is not covered: a reader does not see it.
    ///
    /// Call [`stop`](Self::stop) first to keep the present events from being overwritten.
    ///
    /// # Signal handlers
    /// On a medium of this crate that persists by lines or bytes this may be called in a signal handler, even in one that has
    /// interrupted this call: it does not lock, wait or allocate, unless the medium has failed. `examples/last_words` has
    /// such a handler. Do not call it in one by pages: it is a system call, and the events are in the file all the same.
    ///
    /// # Errors
    /// The first error of the medium. The other shards are written back if the medium still does it. The next call tries the
    /// failed ranges again; a `DaxFile` that has failed returns its failure until it is opened anew.
    ///
    /// # Cost
    /// A check of each shard; an instruction for each line of new events, and two fences for each shard that has new
    /// events or newly lost ones.
    pub fn write_back_all(&self) -> Result<(), M::Error> {
        let mut outcome = Ok(());
        for (shard, cursor) in self.shards.iter() {
            outcome = outcome.and(self.write_back_shard(shard, cursor));
        }
        outcome
    }

    fn write_back_shard(&self, shard: u32, cursor: &Cursor) -> Result<(), M::Error> {
        let (geometry, head) = (self.description.geometry(), cursor.head());
        let loss = Geometry::loss(shard);
        let lost_word = self.medium.load(loss, Ordering::Relaxed);
        let is_lost_word_new = cursor.is_lost_word_new(lost_word);
        if cursor.done() >= head && !is_lost_word_new {
            return Ok(());
        }
        // The owner's stores come before the write-backs of this thread. This must follow the load of the head, or events
        // that the owner finishes meanwhile would count as written back.
        self.medium.order_observed();
        for range in geometry.ranges(shard, cursor.done()..head) {
            self.medium.issue_writeback(range)?;
        }
        if is_lost_word_new {
            self.medium.issue_writeback(loss..loss + 8)?;
        }
        self.medium.fence()?;
        cursor.written_back(head);
        cursor.lost_word_written_back(lost_word);
        Ok(())
    }
}
