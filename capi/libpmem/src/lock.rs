//! A value behind a lock that a forked child and a signal handler can take.
//!
//! Any number of readers hold it together, so a handler that interrupts a reader can read. A writer has all signals
//! blocked: no handler waits for the writer that it interrupts. The threads of a parent do not exist in a forked child.
//! No writer is there at a fork, since the forking thread reads meanwhile, and the child forgets the other readers.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::null_mut;

/// A value behind a lock.
pub(crate) struct Lock<T> {
    lock: UnsafeCell<libc::pthread_rwlock_t>,
    value: UnsafeCell<T>,
}

thread_local! {
    /// The calls of [`Lock::read`] that this thread is in: more than one in a handler. There is one lock.
    static READS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the value is changed only by a thread that holds the lock alone, and read by those that hold it.
unsafe impl<T: Send + Sync> Sync for Lock<T> {}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        let lock = UnsafeCell::new(libc::PTHREAD_RWLOCK_INITIALIZER);
        Self { lock, value: UnsafeCell::new(value) }
    }

    /// Calls `work` with the value, which other threads can read meanwhile. `work` must not write.
    pub(crate) fn read<R>(&'static self, work: impl FnOnce(&T) -> R) -> R {
        let reads = READS.get();
        // Counts the read before the lock is held: a child of a handler has at least the reads that go on.
        READS.set(reads.saturating_add(1));
        self.lock_to_read();
        // SAFETY: no thread changes the value while this one reads.
        let result = work(unsafe { &*self.value.get() });
        // SAFETY: this thread has locked it to read, and has no reference to the value any more.
        unsafe { self.unlock() };
        READS.set(reads);
        result
    }

    /// Calls `work` with the value, which no other thread has. `work` must not come back here.
    pub(crate) fn write<R>(&'static self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: the set can be written.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: the first set is filled, and the second one can be written. It does not fail for this request.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: the lock is initialised and stays where it is. This thread does not hold it.
        unsafe { libc::pthread_rwlock_wrlock(self.lock.get()) };
        // SAFETY: this thread holds the lock alone until `work` has returned.
        let result = work(unsafe { &mut *self.value.get() });
        // SAFETY: this thread holds it, and has no reference to the value any more.
        unsafe { self.unlock() };
        // SAFETY: the call above has written the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
        result
    }

    /// Keeps writers away, for the time of a fork.
    pub(crate) fn lock_to_read(&'static self) {
        // SAFETY: the lock is initialised and stays where it is. This thread does not hold it to write.
        unsafe { libc::pthread_rwlock_rdlock(self.lock.get()) };
    }

    /// Unlocks the lock.
    ///
    /// # Safety
    /// 1. This thread holds the lock, and has no reference to the value that it needs the lock for.
    pub(crate) unsafe fn unlock(&'static self) {
        // SAFETY: (1) is the caller's duty.
        unsafe { libc::pthread_rwlock_unlock(self.lock.get()) };
    }

    /// Forgets the threads that a forked child does not have, and the lock for the time of the fork.
    ///
    /// # Safety
    /// 1. This is the only thread of a child, and was forked after [`lock_to_read`](Self::lock_to_read).
    pub(crate) unsafe fn forget_other_threads(&'static self) {
        // SAFETY: no other thread uses it (1). No thread of the parent was changing the value.
        unsafe { self.lock.get().write(libc::PTHREAD_RWLOCK_INITIALIZER) };
        for _ in 0..READS.get() {
            self.lock_to_read();
        }
    }
}
