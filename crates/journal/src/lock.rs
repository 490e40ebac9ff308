//! A lock whose holders wait as producers do: also where no thread may sleep.

use super::inflight::InFlight;
use cachemaint_format::sync::AtomicBool;
use core::sync::atomic::Ordering::SeqCst;

#[derive(Debug)]
pub(super) struct Lock {
    is_taken: AtomicBool,
}

impl Lock {
    pub(super) fn new() -> Self {
        Self { is_taken: AtomicBool::new(false) }
    }

    /// Waits until no other thread holds the lock, and takes it.
    pub(super) fn take<'l>(&'l self, in_flight: &'l InFlight) -> Taken<'l> {
        in_flight.wait_for_others(|| self.is_taken.swap(true, SeqCst));
        Taken { lock: self, in_flight }
    }

    /// Returns true if a thread holds the lock.
    #[inline]
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.load(SeqCst)
    }
}

/// The held lock. Dropping it releases the lock.
pub(super) struct Taken<'l> {
    lock: &'l Lock,
    in_flight: &'l InFlight,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.lock.is_taken.swap(false, SeqCst);
        self.in_flight.announce();
    }
}
