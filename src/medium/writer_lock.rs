//! The lock of a medium's single writer in this process.

#[cfg(feature = "alloc")]
use alloc::sync::Arc;
use core::ops::Deref;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The lock of a medium's single writer in this process: a journal, a recorder, or a store with its regions.
///
/// One process can own a file or a region several times, through an `Arc` or a reference. Two journals in it would each
/// acknowledge records in the same place. Each therefore takes the lock of its medium before it reads, and the second
/// one fails. The lock of the file keeps other processes away ([`dax::Lock`](../dax/enum.Lock.html)). This lock does
/// not stop stores through the medium's own methods, since every part of a program may have its own bytes.
///
/// A type that implements [`Medium`](super::Medium) has one as a field and returns it from
/// [`writer_lock`](super::Medium::writer_lock). [`DaxFile`](../dax/struct.DaxFile.html) and the regions of
/// `cachemaint-store` do. [`Memory`](super::Memory) borrows its words, which other code may also have, and has none.
///
/// The lock can outlive the medium, as long as a guard exists. With the feature `alloc`, `new` allocates it; without an
/// allocator it is in a static:
///
/// ```
/// use cachemaint::medium::WriterLock;
/// use std::sync::atomic::AtomicBool;
///
/// static RING: AtomicBool = AtomicBool::new(false);
///
/// let lock = WriterLock::from_static(&RING);
/// let first = lock.try_lock();
/// assert!(first.is_some());
/// assert!(lock.try_lock().is_none());
/// drop(first);
/// assert!(lock.try_lock().is_some());
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "alloc", derive(Default))]
pub struct WriterLock {
    is_locked: Flag,
}

/// A [`WriterLock`] that is locked until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct WriterLockGuard {
    is_locked: Flag,
}

/// The owner of the flag, which is true while the lock is taken.
#[derive(Clone, Debug)]
enum Flag {
    #[cfg(feature = "alloc")]
    Allocated(Arc<AtomicBool>),
    Static(&'static AtomicBool),
}

#[cfg(feature = "alloc")]
impl Default for Flag {
    fn default() -> Self {
        Self::Allocated(Arc::default())
    }
}

impl Deref for Flag {
    type Target = AtomicBool;

    fn deref(&self) -> &AtomicBool {
        match self {
            #[cfg(feature = "alloc")]
            Self::Allocated(flag) => flag,
            Self::Static(flag) => flag,
        }
    }
}

impl WriterLock {
    /// Allocates and returns a free lock.
    ///
    /// ```
    /// let lock = cachemaint::medium::WriterLock::new();
    /// let first = lock.try_lock();
    /// assert!(first.is_some() && lock.try_lock().is_none());
    /// ```
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a lock in the caller's flag, which is true while the lock is taken. All locks in one flag are the same
    /// lock, so several media over the same memory can share it.
    #[must_use]
    pub const fn from_static(flag: &'static AtomicBool) -> Self {
        Self { is_locked: Flag::Static(flag) }
    }

    /// Takes the lock. Returns `None` at once if it is taken. It does not allocate.
    #[must_use]
    pub fn try_lock(&self) -> Option<WriterLockGuard> {
        let taken = self.is_locked.compare_exchange(false, true, Acquire, Relaxed);
        taken.is_ok().then(|| WriterLockGuard { is_locked: self.is_locked.clone() })
    }
}

impl Drop for WriterLockGuard {
    fn drop(&mut self) {
        self.is_locked.store(false, Release);
    }
}

#[cfg(test)]
#[cfg(not(cachemaint_loom))]
mod tests {
    use super::WriterLock;
    use core::sync::atomic::AtomicBool;

    #[test]
    fn media_with_one_flag_have_one_writer_with_each_feature() {
        static FLAG: AtomicBool = AtomicBool::new(false);
        let [one, other] = [WriterLock::from_static(&FLAG), WriterLock::from_static(&FLAG)];
        let guard = one.try_lock();
        assert!(guard.is_some());
        assert!(one.try_lock().is_none() && other.try_lock().is_none());
        drop(guard);
        assert!(other.try_lock().is_some());
    }

    /// A lock that is always free must not exist where nothing can be allocated.
    #[cfg(not(feature = "alloc"))]
    #[test]
    fn a_lock_of_its_own_needs_an_allocator() {
        trait Here<Case> {
            fn is_here() {}
        }
        struct Implemented;
        impl<T> Here<()> for T {}
        impl<T: Default> Here<Implemented> for T {}
        // It does not compile if two implementations fit.
        <WriterLock as Here<_>>::is_here();
    }
}
