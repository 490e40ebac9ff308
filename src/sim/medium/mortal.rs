//! A process that is killed.
//!
//! After a kill the caches keep everything, so the next process reads stores that are not persistent. If it builds on
//! them and the power then fails, they are gone and its own stores may not be. A workload tests that by dying in the
//! middle of an operation, opening the structure again on the same medium, and going on.

use crate::medium::{Granularity, Medium, Readable};
use crate::sim::medium::SimMedium;
use crate::sim::medium::schedule;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The medium as a process sees it that is [killed](SimMedium::mortal) after a number of operations. From then on it
/// changes nothing, and each operation that can fail does.
#[derive(Debug)]
pub struct Mortal<'m> {
    medium: &'m SimMedium,
    left: AtomicU64,
    is_dead: AtomicBool,
    /// The threads of the process that have changed the medium.
    threads: Mutex<BTreeSet<usize>>,
}

/// The process was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed;

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process was killed")
    }
}

impl core::error::Error for Killed {}

impl<'m> Mortal<'m> {
    pub(crate) const fn new(medium: &'m SimMedium, operations: u64) -> Self {
        let (left, is_dead) = (AtomicU64::new(operations), AtomicBool::new(false));
        Self { medium, left, is_dead, threads: Mutex::new(BTreeSet::new()) }
    }

    /// Returns true if the process is alive. A dead one adds no notes: the simulation leaves out those of its threads.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.is_dead.load(Ordering::Relaxed) && self.left.load(Ordering::Relaxed) > 0
    }

    /// Returns true if the process lives to make one more operation. Another thread may have its turn before, and none
    /// between this and the end of the operation: it could kill the process.
    #[track_caller]
    fn lives(&self) -> bool {
        self.medium.offer_turn();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.insert(schedule::thread());
        let spend = |left: u64| left.checked_sub(1);
        let lives = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok();
        if !lives && !self.is_dead.swap(true, Ordering::Relaxed) {
            let threads: Vec<_> = threads.iter().copied().collect();
            self.medium.kill(&threads, Location::caller());
            self.medium.bury(threads);
        }
        if lives {
            self.medium.keep_turn();
        } else {
            self.medium.bury([schedule::thread()]);
        }
        lives
    }

    /// Keeps a thread of the dead process from going on as another one: it has used the medium as this one.
    fn stays(&self) {
        if self.is_dead.load(Ordering::Relaxed) {
            self.medium.bury([schedule::thread()]);
        }
    }

    /// Completes the write-backs, if the process lives to do it: a fence alone reports no kill.
    #[track_caller]
    fn complete(&self) -> Result<(), Killed> {
        if !self.lives() {
            return Err(Killed);
        }
        self.medium.fence();
        Ok(())
    }
}

impl Readable for Mortal<'_> {
    type Error = Killed;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    #[track_caller]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        let word = self.medium.load(at, order);
        self.stays();
        word
    }

    #[track_caller]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Killed> {
        let Ok(()) = self.medium.read(at, into);
        self.stays();
        Ok(())
    }

    /// A process that was killed reads the bytes that are there.
    fn check(&self) -> Result<(), Killed> {
        Ok(())
    }
}

impl Medium for Mortal<'_> {
    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    #[track_caller]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        if self.lives() {
            self.medium.store(at, word, order);
        }
    }

    #[track_caller]
    fn write(&self, at: u64, from: &[u8]) {
        if self.lives() {
            self.medium.write(at, from);
        }
    }

    #[track_caller]
    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Killed> {
        if !self.lives() {
            return Err(Killed);
        }
        let Ok(()) = self.medium.issue_writeback(range);
        Ok(())
    }

    #[track_caller]
    fn fence(&self) {
        let _killed = self.complete();
    }

    #[track_caller]
    fn order_observed(&self) {
        if self.lives() {
            self.medium.order_observed();
        }
    }

    #[track_caller]
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Killed> {
        let parts = parts.iter().filter(|(_, bytes)| !bytes.is_empty());
        for (at, bytes) in parts.clone() {
            if !self.lives() {
                return Err(Killed);
            }
            self.medium.copy_part(*at, bytes, Location::caller());
        }
        self.medium.copy_returns();
        for (at, bytes) in parts {
            self.issue_writeback(*at..at + bytes.len() as u64)?;
        }
        Ok(())
    }

    #[track_caller]
    fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), Killed> {
        self.copy_unfenced(parts)?;
        self.complete()
    }

    #[track_caller]
    fn persist(&self, range: Range<u64>) -> Result<(), Killed> {
        self.issue_writeback(range)?;
        self.complete()
    }

    #[track_caller]
    fn deep_persist(&self, range: Range<u64>) -> Result<(), Killed> {
        if !self.lives() {
            return Err(Killed);
        }
        self.medium.write_back(range, Location::caller());
        self.complete()
    }
}
