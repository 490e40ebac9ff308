//! What is known of a shard in ordinary memory.

#[cfg(doc)]
use super::Options;
use crate::sync::{AtomicBool, AtomicU64};
use core::sync::atomic::Ordering;

/// The state of one shard in ordinary memory. A recorder has one for each, from [`Options::cursors`] where it cannot
/// allocate them.
///
/// A *position* counts the bytes of a shard over all laps: sequence number times size, plus the offset in the
/// sub-buffer. Each cursor has lines of its own, so that threads share none.
#[derive(Debug)]
#[repr(align(128))]
pub struct Cursor {
    /// The position after the last event. Stored by the owner, after the event.
    head: AtomicU64,
    /// What is before this position has been written back.
    done: AtomicU64,
    /// The position where this opening has begun.
    first: AtomicU64,
    /// Sub-buffers before this sequence number may be overwritten, in mode refuse.
    released: AtomicU64,
    /// Events lost, but for nested ones. Stored by the owner.
    lost: AtomicU64,
    /// The file's word that counts the lost, when it was written back last.
    lost_done: AtomicU64,
    /// Events of signal handlers that met an unfinished one. Stored by these handlers.
    nested: AtomicU64,
    is_claimed: AtomicBool,
}

impl Default for Cursor {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! new {
    ($($const:tt)?) => {
        /// One that no recorder has used.
        #[must_use]
        pub $($const)? fn new() -> Self {
            Self {
                head: AtomicU64::new(0),
                done: AtomicU64::new(0),
                first: AtomicU64::new(0),
                released: AtomicU64::new(0),
                lost: AtomicU64::new(0),
                lost_done: AtomicU64::new(0),
                nested: AtomicU64::new(0),
                is_claimed: AtomicBool::new(false),
            }
        }
    };
}

impl Cursor {
    #[cfg(not(loom))]
    new!(const);
    #[cfg(loom)]
    new!();

    /// Begins at a position, with nothing to write back: so many events are lost, as a word of the file says.
    pub(super) fn begin(&self, position: u64, released: u64, (lost, lost_word): (u64, u64)) {
        self.head.store(position, Ordering::Relaxed);
        self.done.store(position, Ordering::Relaxed);
        self.first.store(position, Ordering::Relaxed);
        self.released.store(released, Ordering::Relaxed);
        self.lost.store(lost, Ordering::Relaxed);
        self.lost_done.store(lost_word, Ordering::Relaxed);
        self.nested.store(0, Ordering::Relaxed);
        self.is_claimed.store(false, Ordering::Relaxed);
    }

    /// Takes it, unless somebody has it. The last owner's stores are seen then.
    pub(super) fn claim(&self) -> bool {
        let claimed =
            self.is_claimed.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        claimed.is_ok()
    }

    pub(super) fn give_back(&self) {
        self.is_claimed.store(false, Ordering::Release);
    }

    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// The owner has finished an event.
    #[inline(always)]
    pub(super) fn advance(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }

    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// What is before the position has been written back, and the fence been executed.
    pub(super) fn written_back(&self, position: u64) {
        self.done.fetch_max(position, Ordering::AcqRel);
    }

    /// The same, by the owner, on the path of events. It may fall behind what another thread has said: that
    /// only costs a write-back.
    #[inline]
    pub(super) fn written_back_by_owner(&self, position: u64) {
        self.done.store(position, Ordering::Release);
    }

    /// The rest of a sub-buffer stays unused: if all before it was written back, all before the next one is.
    pub(super) fn skip(&self, head: u64, next: u64) {
        if self.done() == head {
            self.written_back_by_owner(next);
        }
    }

    /// Where the records of the sub-buffer before end, in it; 0 if this opening had none.
    pub(super) fn end_before(&self, head: u64, size: u64) -> u32 {
        if head == self.first.load(Ordering::Relaxed) {
            return 0;
        }
        let rest = head % size;
        u32::try_from(if rest == 0 { size } else { rest }).unwrap_or(0)
    }

    pub(super) fn released(&self) -> u64 {
        self.released.load(Ordering::Acquire)
    }

    /// Who has read the sub-buffers before this one gives them up, but not the one that is being written.
    pub(super) fn release(&self, before: u64, size: u32) {
        let begun = self.head() / u64::from(size);
        self.released.fetch_max(before.min(begun), Ordering::AcqRel);
    }

    pub(super) fn lost(&self) -> u64 {
        let (lost, nested) =
            (self.lost.load(Ordering::Relaxed), self.nested.load(Ordering::Relaxed));
        lost.saturating_add(nested)
    }

    /// The owner has lost an event.
    pub(super) fn lose(&self) {
        self.lost.store(self.lost.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    }

    /// A handler on the owner's thread has lost one, which has a count of its own: it may have interrupted
    /// the owner between load and store of the other.
    pub(super) fn lose_nested(&self) {
        self.nested.store(self.nested.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    }

    /// True if the file's count of lost events must be written back.
    pub(super) fn is_lost_word_new(&self, word: u64) -> bool {
        word != self.lost_done.load(Ordering::Acquire)
    }

    /// This word was written back, and the fence executed.
    pub(super) fn lost_word_written_back(&self, word: u64) {
        self.lost_done.store(word, Ordering::Release);
    }
}
