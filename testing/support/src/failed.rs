//! A medium that fails at one of its loads and reads. From then on it has zeros, and stores reach it no more, as a file
//! whose mapping was replaced.

use crate::counting::Broken;
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::fmt::Debug;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub struct Failed<M> {
    medium: M,
    /// The number of loads and reads that still succeed.
    left: AtomicU64,
    is_dead: AtomicBool,
}

impl<M> Failed<M> {
    /// Returns false if this access fails, or an earlier one did.
    fn succeeds(&self) -> bool {
        let next = |left: u64| left.checked_sub(1);
        let succeeds = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        self.is_dead.fetch_or(!succeeds, Ordering::Relaxed);
        succeeds
    }

    fn has_failed(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    fn unless_failed(&self) -> Result<(), Broken> {
        if self.has_failed() { Err(Broken) } else { Ok(()) }
    }
}

/// Does the work on media that fail at the first access, at the second one, and so on, up to one that does not fail. Each time
/// the result must be that without a failure, or the failure, of which `is_failure` must be true.
#[track_caller]
pub fn assert_right_or_failed<M, T: Debug + PartialEq, E: Debug>(
    mut medium: impl FnMut() -> M,
    work: impl Fn(&Failed<M>) -> Result<T, E>,
    is_failure: impl Fn(&E) -> bool,
) {
    let failing = |medium, accesses| {
        let (left, is_dead) = (AtomicU64::new(accesses), AtomicBool::new(false));
        Failed { medium, left, is_dead }
    };
    let right = work(&failing(medium(), u64::MAX)).unwrap();
    for accesses in 0.. {
        let medium = failing(medium(), accesses);
        match work(&medium) {
            Ok(found) => assert_eq!(found, right, "after {accesses} accesses"),
            Err(error) => assert!(is_failure(&error), "after {accesses} accesses: {error:?}"),
        }
        if !medium.has_failed() {
            break;
        }
    }
}

impl<M: Medium> Readable for Failed<M> {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Broken> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        if self.succeeds() {
            self.medium.read(at, into).unwrap();
        } else {
            into.fill(0);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Broken> {
        self.unless_failed()
    }
}

impl<M: Medium> Medium for Failed<M> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        if self.succeeds() { self.medium.load(at, order) } else { 0 }
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        if !self.has_failed() {
            self.medium.store(at, word, order);
        }
    }

    fn write(&self, at: u64, from: &[u8]) {
        if !self.has_failed() {
            self.medium.write(at, from);
        }
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Broken> {
        self.unless_failed()?;
        self.medium.issue_writeback(range).unwrap();
        Ok(())
    }

    fn fence(&self) -> Result<(), Broken> {
        self.medium.fence().or(Err(Broken)).and(self.check())
    }

    fn order_observed(&self) {
        self.medium.order_observed();
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Broken> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        self.medium.writer_lock()
    }
}
