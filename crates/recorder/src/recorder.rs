//! An open recording.

use super::clock::Clock;
use super::cursor::{Cursor, Shards};
use super::format::{Description, FORMAT, Geometry, Root};
use super::options::Durability;
#[cfg(doc)]
use super::options::Options;
use super::reader::Reader;
#[cfg(doc)]
use super::{ErrorKind, Mode};
use cachemaint::medium::{Medium, WriterLockGuard};
use cachemaint_format::error::FormatError;
use cachemaint_format::sync::AtomicBool;
use core::sync::atomic::Ordering;

/// An open recording, to write events into. See the [crate's example](crate). Dropping it does not write back.
///
/// `'c` is the lifetime of its [cursors](Options::cursors); it is `'static` if the recorder allocated them.
#[derive(Debug)]
pub struct Recorder<'c, M> {
    pub(super) medium: M,
    pub(super) shards: Shards<'c>,
    pub(super) description: Description,
    pub(super) durability: Durability,
    pub(super) clock: Clock,
    pub(super) is_stopped: AtomicBool,
    /// Held as long as this recorder can write.
    pub(super) _writer: Option<WriterLockGuard>,
}

impl<M: Medium> Recorder<'_, M> {
    /// Returns the medium.
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

    /// Ends recording for good: further events are refused with [`ErrorKind::Stopped`]. Events that other threads have
    /// begun are still finished. This may be called in a signal handler.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Returns true if another recorder has opened or replaced the recording, and then ends recording here.
    pub(super) fn has_another(&self) -> bool {
        let (own, medium) = (self.description.root(), &self.medium);
        let is_ours = |root: &Root| {
            // If the newest root is damaged, an earlier one is found.
            let is_earlier = root.generation < own.generation;
            root.identity == own.identity && (is_earlier || *root == own)
        };
        // A failure of the medium is returned after the event is recorded.
        let has_another = matches!(own.is_current(medium, FORMAT), Ok(false))
            && matches!(
                Root::refuse_another(medium, FORMAT, is_ours),
                Err(FormatError::AnotherWriter)
            );
        if has_another {
            self.stop();
        }
        has_another
    }

    /// Returns true if recording has ended.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Releases the sub-buffers of a shard below this sequence number: in mode [`Refuse`](Mode::Refuse) they have been
    /// read and may be overwritten. It does not release sub-buffers that are not yet recorded.
    ///
    /// The release is not stored in the file: when the file is reopened, all its events count as unread.
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

    /// Writes back all events that this opening recorded before the call and that have not been written back. They are
    /// persistent when this returns. Events that other threads have not finished are not covered, and a reader does not
    /// see them.
    ///
    /// To keep the present events from being overwritten, call [`stop`](Self::stop) first.
    ///
    /// # Signal handlers
    /// On the media of `cachemaint` with byte or line granularity, this may be called in a signal handler, even one
    /// that interrupted this same call: it does not lock, wait or allocate unless the medium has failed. See
    /// `examples/last_words`. With page granularity, do not call it in a handler: it makes a system call, and the
    /// events are in the file anyway.
    ///
    /// # Errors
    /// The first error of the medium. The other shards are still written back if the medium allows it. The next call
    /// retries the failed ranges; a failed `DaxFile` returns its failure until it is reopened.
    ///
    /// # Cost
    /// A check of each shard, one instruction for each line of new events, and two fences for each shard that has new
    /// events or new losses.
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
        // Orders the owner's stores before this thread's write-backs. This must follow the load of the head; otherwise
        // events that the owner finishes meanwhile would count as written back.
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
