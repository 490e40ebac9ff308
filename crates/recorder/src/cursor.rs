//! The state of the shards in ordinary memory, and their owners.

use super::error::ErrorKind;
use cachemaint_format::sync::{AtomicBool, AtomicU64};
use core::sync::atomic::Ordering;

/// The state of one shard in ordinary memory. A recorder has a cursor for each shard; without an allocator, the caller
/// provides them with [`Options::cursors`](super::Options::cursors).
///
/// A *position* counts the bytes of a shard over all laps: sequence number times size, plus the offset in the
/// sub-buffer. Each cursor has its own cache lines, so threads do not share lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Cursor {
    /// The position after the last event. The owner stores it after the event.
    head: AtomicU64,
    /// The position up to which all bytes have been written back.
    done: AtomicU64,
    /// True while the shard has an owner.
    is_owned: AtomicBool,
}

impl Cursor {
    /// Creates a cursor.
    #[cfg(not(cachemaint_loom))] // whose atomics are not made in constants
    #[must_use]
    pub const fn new() -> Self {
        Self { head: AtomicU64::new(0), done: AtomicU64::new(0), is_owned: AtomicBool::new(false) }
    }

    /// Starts at the beginning of a sub-buffer, with all bytes before it written back.
    pub(super) fn begin(&self, position: u64) {
        self.head.store(position, Ordering::Relaxed);
        self.done.store(position, Ordering::Relaxed);
        self.is_owned.store(false, Ordering::Relaxed);
    }

    /// Claims the shard, unless it has an owner. A successful claim makes the stores of the last owner visible.
    fn claim(&self) -> bool {
        !self.is_owned.swap(true, Ordering::Acquire)
    }

    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Stores the position after an event that the owner has finished.
    #[inline(always)]
    pub(super) fn advance(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }

    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Records that all bytes before the position were written back and fenced.
    pub(super) fn written_back(&self, position: u64) {
        self.done.fetch_max(position, Ordering::AcqRel);
    }

    /// Does the same for the owner, on the path of events. The position may be lower than one that another thread
    /// recorded; that only costs a write-back.
    #[inline]
    pub(super) fn written_back_by_owner(&self, position: u64) {
        self.done.store(position, Ordering::Release);
    }

    /// Skips the unused rest of a sub-buffer. If all bytes before it were written back, so is everything before the
    /// next sub-buffer.
    pub(super) fn skip(&self, head: u64, next: u64) {
        if self.done() == head {
            self.written_back_by_owner(next);
        }
    }
}

/// The cursors of a recorder, one for each shard.
#[derive(Debug)]
pub(super) struct Shards<'c> {
    cursors: Memory<'c>,
    claims: Claims,
}

/// The memory of cursors.
#[derive(Debug)]
enum Memory<'c> {
    #[cfg(feature = "alloc")]
    Own(alloc::boxed::Box<[Cursor]>),
    Lent(&'c [Cursor]),
}

/// Has its own cache lines, so that a claim does not slow down threads that record.
#[derive(Debug)]
#[repr(align(128))]
struct Claims {
    /// The number of shards without an owner, less the number of threads that are searching for one.
    free: AtomicU64,
    /// The number of shards that searches have looked at. Modulo the number of shards, it is the next one to look at.
    turn: AtomicU64,
}

impl<'c> Shards<'c> {
    /// Uses this memory for one cursor per shard, or allocates them.
    pub(super) fn take<E>(
        lent: Option<&'c mut [Cursor]>,
        shards: u32,
    ) -> Result<Self, ErrorKind<E>> {
        let number = shards as usize;
        let cursors = match lent {
            Some(lent) if lent.len() >= number => Memory::Lent(&lent[..number]),
            Some(lent) => return Err(ErrorKind::FewCursors { cursors: lent.len(), shards }),
            #[cfg(feature = "alloc")]
            None => Memory::Own((0..shards).map(|_| Cursor::default()).collect()),
            #[cfg(not(feature = "alloc"))]
            None => return Err(ErrorKind::FewCursors { cursors: 0, shards }),
        };
        let claims = Claims { free: AtomicU64::new(shards.into()), turn: AtomicU64::new(0) };
        Ok(Self { cursors, claims })
    }

    fn cursors(&self) -> &[Cursor] {
        match &self.cursors {
            #[cfg(feature = "alloc")]
            Memory::Own(cursors) => cursors,
            Memory::Lent(cursors) => cursors,
        }
    }

    /// Returns every shard with its cursor.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Cursor)> {
        (0..).zip(self.cursors())
    }

    /// Claims a shard that has no owner. The search begins after the shard that was claimed last, so the events of
    /// threads that have ended are kept while other shards are free.
    pub(super) fn claim(&self) -> Option<(u32, &Cursor)> {
        let (cursors, Claims { free, turn }) = (self.cursors(), &self.claims);
        let one_less = |free: u64| free.checked_sub(1);
        free.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).ok()?;
        // At least as many shards are free as threads are here, so each finds one.
        loop {
            let shard = turn.fetch_add(1, Ordering::Relaxed) % cursors.len() as u64;
            let cursor = &cursors[shard as usize];
            if cursor.claim() {
                return Some((shard as u32, cursor));
            }
        }
    }

    /// Gives back a shard that this thread owns.
    pub(super) fn give_back(&self, cursor: &Cursor) {
        cursor.is_owned.store(false, Ordering::Release);
        self.claims.free.fetch_add(1, Ordering::Release);
    }
}
