//! Writing back what all threads have recorded.

use super::format::Geometry;
use super::{Cursor, Recorder};
use crate::medium::Medium;
use core::sync::atomic::Ordering;

impl<M: Medium, C: AsRef<[Cursor]>> Recorder<M, C> {
    /// Writes back what all shards had recorded when this was called and had not been written back by then;
    /// it is persistent when this returns. Of an event that another thread has not finished nothing is
    /// promised: a reader reports it as torn, or does not see it.
    ///
    /// [`stop`](Self::stop) first, if what is there now is to stay.
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Signal handlers
    /// It may be called in one, also when it has interrupted itself: it allocates nothing, takes no lock, and
    /// waits for nobody. That holds for the media of this crate which persist by lines; by pages it calls
    /// `msync`, whose failure makes an error that allocates.
    ///
    /// # Errors
    /// The first of the medium's. The other shards are written back all the same; what failed is tried again
    /// by the next call.
    ///
    /// # Cost
    /// A look at each shard; an instruction for each line of what is new, and two fences for each shard that has
    /// something new.
    pub fn write_back_all(&self) -> Result<(), M::Error> {
        let mut outcome = Ok(());
        for (shard, cursor) in (0..).zip(self.cursors()) {
            outcome = outcome.and(self.write_back_shard(shard, cursor));
        }
        outcome
    }

    fn write_back_shard(&self, shard: u32, cursor: &Cursor) -> Result<(), M::Error> {
        let (geometry, head) = (self.description.geometry, cursor.head());
        let loss = Geometry::loss(shard);
        let lost_word = self.medium.load(loss, Ordering::Relaxed);
        let is_lost_word_new = cursor.is_lost_word_new(lost_word);
        if cursor.done() >= head && !is_lost_word_new {
            return Ok(());
        }
        // The owner has stored it: its stores come before the write-backs of this thread. Not before its head was
        // loaded, or events that it finishes meanwhile would count as written back.
        self.medium.order_observed();
        for range in geometry.ranges(shard, cursor.done()..head) {
            self.medium.writeback(range)?;
        }
        if is_lost_word_new {
            self.medium.writeback(loss..loss + 8)?;
        }
        self.medium.fence();
        cursor.written_back(head);
        cursor.lost_word_written_back(lost_word);
        Ok(())
    }
}
