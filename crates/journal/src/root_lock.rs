//! The lock on the roots: one thread at a time stores the next one.

use super::inflight::InFlight;
use super::lock::{Lock, Taken};
use super::record::Epoch;
use super::state::State;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// The lock on the roots, with those fields of the last root that a journal keeps nowhere else. They are kept here so
/// that a damaged root is never read back.
#[derive(Debug)]
pub(super) struct RootLock {
    lock: Lock,
    pub(super) generation: AtomicU64,
    head_epoch: [AtomicU64; 2],
    /// The end of the acknowledged records, as the root states it.
    pub(super) acknowledged: AtomicU64,
}

impl RootLock {
    pub(super) fn new(state: &State) -> Self {
        let Epoch { number, key } = state.head_epoch;
        Self {
            lock: Lock::new(),
            generation: AtomicU64::new(state.generation),
            head_epoch: [number, key].map(AtomicU64::new),
            // The epoch has no record yet.
            acknowledged: AtomicU64::new(state.start()),
        }
    }

    /// Takes over the root that was stored.
    pub(super) fn note(&self, State { generation, head_epoch, acknowledged, .. }: &State) {
        self.generation.store(*generation, Relaxed);
        let [number, key] = &self.head_epoch;
        number.store(head_epoch.number, Relaxed);
        key.store(head_epoch.key, Relaxed);
        self.acknowledged.store(*acknowledged, Relaxed);
    }

    pub(super) fn head_epoch(&self) -> Epoch {
        let [number, key] = self.head_epoch.each_ref().map(|word| word.load(Relaxed));
        Epoch { number, key }
    }

    /// Waits until no other thread holds the lock. With page granularity, a thread holds it during a system call.
    pub(super) fn take<'l>(&'l self, in_flight: &'l InFlight) -> Taken<'l> {
        self.lock.take(in_flight)
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::RootLock;
    use crate::geometry::Geometry;
    use crate::inflight::InFlight;
    use crate::record::Epoch;
    use crate::state::State;
    use cachemaint_format::identity::Identity;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    /// A thread that finds the lock taken sleeps until it is released.
    #[test]
    fn the_lock_of_the_roots_excludes_and_wakes() {
        let geometry = Geometry::new(128, 1024, 8).unwrap();
        let epoch = Epoch { number: 1, key: 5 };
        let state = State {
            identity: Identity([7; 16]),
            generation: 1,
            geometry,
            head: 0,
            head_epoch: epoch,
            epoch,
            before: 0,
            acknowledged: 0,
        };
        loom::model(move || {
            let shared = Arc::new((RootLock::new(&state), InFlight::new(geometry, 0, 64)));
            let root = Arc::new(UnsafeCell::new(0));
            let store = {
                let (shared, root) = (Arc::clone(&shared), Arc::clone(&root));
                move || {
                    let _taken = shared.0.take(&shared.1);
                    // Loom fails if the other thread accesses it in the meantime.
                    root.with_mut(|_| ());
                }
            };
            let other = loom::thread::spawn(store.clone());
            store();
            other.join().unwrap();
        });
    }
}
