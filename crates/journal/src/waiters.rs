//! Threads that sleep until another one wakes them. While no thread sleeps, waking costs one load.
//!
//! A waiting thread increments a count and then checks its condition. A changing thread makes its change and then loads
//! the count. All four accesses are sequentially consistent, so at least one of the two threads sees the other, and no
//! wake-up is lost. The change is a read-modify-write, and the count is loaded. On x86 both compile to the same code as
//! their relaxed forms; on arm64 the load is an LDAR.

use cachemaint::family::clock;
#[cfg(not(cachemaint_loom))]
use core::sync::atomic::{AtomicU64, Ordering::SeqCst, fence};
use core::time::Duration;
#[cfg(cachemaint_loom)]
use loom::sync::atomic::{AtomicU64, Ordering::SeqCst, fence};
#[cfg(cachemaint_loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(cachemaint_loom))]
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Threads that sleep until something changes.
#[derive(Debug)]
pub(super) struct Waiters {
    count: AtomicU64,
    /// True if waits are cancelled.
    is_cancelled: Mutex<bool>,
    changed: Condvar,
}

impl Waiters {
    pub(super) fn new() -> Self {
        Self { count: AtomicU64::new(0), is_cancelled: Mutex::new(false), changed: Condvar::new() }
    }

    /// Wakes the sleeping threads after a change that was made by a sequentially consistent read-modify-write.
    #[inline]
    pub(super) fn wake(&self) {
        // loom treats a sequentially consistent load as an acquire load.
        #[cfg(cachemaint_loom)]
        fence(SeqCst);
        if self.count.load(SeqCst) > 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        // A thread between its check and its sleep holds the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Cancels all current and future waits.
    pub(super) fn cancel(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    /// Sleeps while `goes_on` returns true, for at most `timeout`. The argument of `goes_on` is true if waits are
    /// [cancelled](Self::cancel). It is called under the lock, so it must not wake anybody.
    pub(super) fn sleep(&self, timeout: Duration, mut goes_on: impl FnMut(bool) -> bool) {
        self.count.fetch_add(1, SeqCst);
        fence(SeqCst);
        let mut guard = self.lock();
        let started = clock::now();
        while goes_on(*guard) {
            let Some(left) = left(timeout, started) else { break };
            let waited = self.changed.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(guard);
        self.count.fetch_sub(1, SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the remaining time of a wait since `begin`, or `None` if it is over. Without a clock it is over at once,
/// since the standard library cannot wait there either.
pub(super) fn left(timeout: Duration, begin: Option<Instant>) -> Option<Duration> {
    timeout.checked_sub(begin?.elapsed()).filter(|left| !left.is_zero())
}
