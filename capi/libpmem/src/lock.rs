//! A value behind a mutex that is free in a forked child.
//!
//! The threads of the parent do not exist in the child. A mutex that one of them held at the fork would never be free
//! there, so the forking thread holds it over the fork.

use core::cell::UnsafeCell;
use core::fmt;

/// A value behind a mutex.
pub(crate) struct Lock<T> {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only by the thread that holds the mutex.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        let mutex = UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER);
        Self { mutex, value: UnsafeCell::new(value) }
    }

    /// Calls `work` with the value. `work` must not come back here.
    pub(crate) fn with<R>(&'static self, work: impl FnOnce(&mut T) -> R) -> R {
        self.lock();
        // SAFETY: this thread holds the mutex until `work` has returned.
        let result = work(unsafe { &mut *self.value.get() });
        // SAFETY: this thread holds the mutex and has no reference to the value any more.
        unsafe { self.unlock() };
        result
    }

    /// Locks the mutex, for the time of a fork.
    pub(crate) fn lock(&'static self) {
        // SAFETY: the mutex is initialised and stays where it is. A default one does not fail for a thread that does not
        // hold it.
        unsafe { libc::pthread_mutex_lock(self.mutex.get()) };
    }

    /// Unlocks the mutex.
    ///
    /// # Safety
    /// 1. This thread holds the mutex, or is the child's copy of the thread that does.
    /// 2. It has no reference to the value.
    pub(crate) unsafe fn unlock(&'static self) {
        // SAFETY: (1) is the caller's duty.
        unsafe { libc::pthread_mutex_unlock(self.mutex.get()) };
    }
}
