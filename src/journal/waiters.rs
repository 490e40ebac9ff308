//! Threads that wait for a change of the records under way.
//!
//! A waiting thread increments the count and then checks its condition. A changing thread makes its change and then
//! loads the count. All four accesses are sequentially consistent, so one of the two threads sees the other: no wake-up
//! is lost. The change is a read-modify-write, and the count is loaded. On x86 neither differs from its relaxed form;
//! on arm64 the load is an LDAR.

use crate::system::clock;
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

    /// Wakes the threads that wait, after a change by a sequentially consistent read-modify-write.
    #[inline]
    pub(super) fn wake(&self) {
        // loom treats a sequentially consistent load as an acquiring one.
        #[cfg(cachemaint_loom)]
        fence(SeqCst);
        if self.count.load(SeqCst) > 0 {
            self.wake_all();
        }
    }

    /// Wakes the threads that wait, after any change.
    pub(super) fn fence_and_wake(&self) {
        fence(SeqCst);
        self.wake();
    }

    #[cold]
    fn wake_all(&self) {
        // A thread between its check and its sleep holds the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Ends all waits, now and from now on.
    pub(super) fn cancel(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    /// Waits while `goes_on` returns true, at most for `timeout`, unless waits are [cancelled](Self::cancel). `goes_on`
    /// is called under the lock, so it must not call [`wake`](Self::wake).
    pub(super) fn wait(&self, timeout: Duration, mut goes_on: impl FnMut() -> bool) {
        self.count.fetch_add(1, SeqCst);
        fence(SeqCst);
        let mut guard = self.lock();
        let started = clock::now();
        while goes_on() && !*guard {
            let Some(left) = left(timeout, started) else { break };
            let waited = self.changed.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(guard);
        self.count.fetch_sub(1, SeqCst);
    }

    /// Wakes the others from within [`wait`](Self::wait).
    pub(super) fn wake_others(&self) {
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the rest of a wait since `begin`, or `None` if it is over. Without a clock it is over at once, since the
/// standard library cannot wait there either.
pub(super) fn left(timeout: Duration, begin: Option<Instant>) -> Option<Duration> {
    timeout.checked_sub(begin?.elapsed()).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::left;
    use crate::system::clock::now;
    use core::time::Duration;

    #[test]
    fn a_wait_without_a_clock_is_over() {
        assert_eq!(left(Duration::MAX, None), None);
        assert_eq!(left(Duration::ZERO, now()), None);
        assert!(left(Duration::MAX, now()).is_some());
    }
}
