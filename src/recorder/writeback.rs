//! Writing back what all threads have recorded.

use super::format::Geometry;
use super::{Cursor, Recorder};
use crate::medium::Medium;

impl<M: Medium, C: AsRef<[Cursor]>> Recorder<M, C> {
    /// Writes back what all shards had recorded when this was called and had not been written back by then;
    /// it is persistent when this returns. Of an event that another thread has not finished nothing is
    /// promised: a reader reports it as torn, or does not see it.
    ///
    /// [`stop`](Self::stop) first, if what is there now is to stay.
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
    /// A look at each shard, an instruction for each line of what is new, a fence, and one more for each shard
    /// that has something new.
    pub fn write_back_all(&self) -> Result<(), M::Error> {
        // Other threads have stored it: their stores come before the write-backs of this one.
        self.medium.fence();
        let mut outcome = Ok(());
        for (shard, cursor) in (0..).zip(self.cursors()) {
            outcome = outcome.and(self.write_back_shard(shard, cursor));
        }
        outcome
    }

    fn write_back_shard(&self, shard: u32, cursor: &Cursor) -> Result<(), M::Error> {
        let (geometry, head, lost) =
            (self.description.geometry, cursor.head(), cursor.lost_since());
        if cursor.done() >= head && lost.is_none() {
            return Ok(());
        }
        for range in geometry.ranges(shard, cursor.done()..head) {
            self.medium.writeback(range)?;
        }
        if lost.is_some() {
            let at = Geometry::loss(shard);
            self.medium.writeback(at..at + 8)?;
        }
        self.medium.fence();
        cursor.written_back(head);
        if let Some(lost) = lost {
            cursor.lost_written_back(lost);
        }
        Ok(())
    }
}
