//! The lock of a medium's one writer in this process.

cfg_if::cfg_if! {
    if #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))] {
        use alloc::sync::Arc;
        use core::sync::atomic::AtomicBool;
        use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
    }
}

/// The lock of a medium's one writer in this process: of a journal, a recorder, or a store with its regions.
///
/// A file or a region can have several owners here, as an `Arc` of it or a reference. Two journals in it would each
/// acknowledge records in the same place. So each of them takes the lock of its medium before it reads, and the second one is
/// an error. Other processes are kept away by the lock of the file ([`dax::Lock`](../dax/enum.Lock.html)). Stores by the
/// methods of the medium are not, since every part of a program may have its own bytes.
///
/// A type that implements [`Medium`](super::Medium) has one as a field, and returns it from
/// [`writer_lock`](super::Medium::writer_lock). [`DaxFile`](../dax/struct.DaxFile.html) and
/// [`Region`](../preserve/struct.Region.html) do. [`Memory`](super::Memory) borrows its words, which other code may also have,
/// and has none.
///
/// ```
/// use cachemaint::medium::WriterLock;
///
/// let lock = WriterLock::new();
/// let first = lock.try_lock();
/// assert!(first.is_some());
/// # #[cfg(feature = "alloc")]
/// assert!(lock.try_lock().is_none());
/// drop(first);
/// assert!(lock.try_lock().is_some());
/// ```
///
/// Without the feature `alloc`, or an atomic pointer, it excludes nothing.
#[derive(Debug, Default)]
pub struct WriterLock {
    #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
    is_locked: Arc<AtomicBool>,
}

/// A [`WriterLock`] that is locked until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct WriterLockGuard {
    #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
    is_locked: Arc<AtomicBool>,
}

impl WriterLock {
    /// Returns a lock that is free.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the lock. Returns `None` at once if it is taken. It does not allocate.
    #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
    #[must_use]
    pub fn try_lock(&self) -> Option<WriterLockGuard> {
        let taken = self.is_locked.compare_exchange(false, true, Acquire, Relaxed);
        taken.is_ok().then(|| WriterLockGuard { is_locked: Arc::clone(&self.is_locked) })
    }

    /// Takes the lock.
    #[cfg(not(all(feature = "alloc", target_has_atomic = "ptr")))]
    #[must_use]
    pub const fn try_lock(&self) -> Option<WriterLockGuard> {
        Some(WriterLockGuard {})
    }
}

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
impl Drop for WriterLockGuard {
    fn drop(&mut self) {
        self.is_locked.store(false, Release);
    }
}
