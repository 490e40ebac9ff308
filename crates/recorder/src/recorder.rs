//! An open recording.

#[cfg(doc)]
use super::ErrorKind;
use super::clock::Clock;
use super::cursor::{Cursor, Shards};
use super::format::{Description, FORMAT, Root};
use super::options::Durability;
#[cfg(doc)]
use super::options::Options;
use super::reader::Reader;
use cachemaint::medium::{Medium, Readable, WriterLockGuard};
use cachemaint_format::error::FormatError;
use cachemaint_format::sync::AtomicBool;
use cachemaint_format::unreadable::ThroughKernel;
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
    /// True if all pages of the roots could be read when the recorder was opened.
    pub(super) has_all_roots: bool,
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
        let (own, calls) = (self.description.root(), ThroughKernel::new(&self.medium));
        let medium: &dyn Readable<Error = M::Error> =
            if self.has_all_roots { &self.medium } else { &calls };
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
    /// events.
    pub fn write_back_all(&self) -> Result<(), M::Error> {
        let mut outcome = Ok(());
        for (shard, cursor) in self.shards.iter() {
            outcome = outcome.and(self.write_back_shard(shard, cursor));
        }
        outcome
    }

    fn write_back_shard(&self, shard: u32, cursor: &Cursor) -> Result<(), M::Error> {
        let (geometry, head) = (self.description.geometry(), cursor.head());
        if cursor.done() >= head {
            return Ok(());
        }
        // Orders the owner's stores before this thread's write-backs. This must follow the load of the head; otherwise
        // events that the owner finishes meanwhile would count as written back.
        self.medium.order_observed();
        for range in geometry.ranges(shard, cursor.done()..head) {
            self.medium.issue_writeback(range)?;
        }
        self.medium.fence()?;
        cursor.written_back(head);
        Ok(())
    }
}
