//! An open recording.

use super::clock::Clock;
use super::cursor::{Cursor, Shards};
use super::format::{Description, Geometry};
use super::options::Durability;
#[cfg(doc)]
use super::options::Options;
use super::reader::Reader;
#[cfg(doc)]
use super::{ErrorKind, Mode};
use cachemaint::medium::{Medium, WriterLockGuard};
use cachemaint_format::sync::AtomicBool;
use core::sync::atomic::Ordering;

/// An open recording that events are written into, as in the [crate's example](crate). Dropping it does not write back.
///
/// `'c` is the lifetime of its [cursors](Options::cursors), `'static` if it has allocated them.
#[derive(Debug)]
pub struct Recorder<'c, M> {
    pub(super) medium: M,
    pub(super) shards: Shards<'c>,
    pub(super) description: Description,
    pub(super) durability: Durability,
    pub(super) clock: Clock,
    pub(super) is_stopped: AtomicBool,
    /// Locked as long as this recorder can write.
    pub(super) _writer: Option<WriterLockGuard>,
}

impl<M: Medium> Recorder<'_, M> {
    /// Returns the medium that it records into.
    pub const fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns the description in the file's root.
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// Returns a reader of the recorded events. Recording can continue meanwhile.
    pub const fn reader(&self) -> Reader<&M> {
        Reader::of(&self.medium, self.description)
    }

    /// Ends recording for good: from now on events are refused with [`ErrorKind::Stopped`]. An event that
    /// another thread has begun is still finished. This may be called in a signal handler.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Returns true if recording has ended.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Releases the sub-buffers of a shard before this sequence number: in mode [`Refuse`](Mode::Refuse) they have been
    /// read and may be overwritten. Sub-buffers that are not yet recorded are not released by it.
    ///
    /// The release is not kept in the file: when the file is opened again, all its events count as unread.
    pub fn release(&self, shard: u32, before: u64) {
        if let Some(cursor) = self.shards.get(shard) {
            cursor.release(before, self.description.sub_buffer_size);
        }
    }

    /// Returns the number of events that a shard is known to have lost: refused, too long or nested. Overwritten events
    /// are not counted.
    pub fn lost(&self, shard: u32) -> u64 {
        self.shards.get(shard).map_or(0, Cursor::lost)
    }

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
