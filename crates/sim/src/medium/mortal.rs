//! A process that is killed.
//!
//! After a kill the caches keep everything, so the next process reads stores that are not persistent. If it builds on
//! them and the power then fails, they are lost, but its own stores may remain. A workload tests that by dying in the
//! middle of an operation, opening the structure again on the same medium, and continuing.

use crate::medium::SimMedium;
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// The medium of a process that is [killed](SimMedium::mortal) after a number of operations. From then on it changes
/// nothing that others see, and each operation that can fail fails.
#[derive(Debug)]
pub struct Mortal<'m> {
    medium: SimMedium,
    of: PhantomData<&'m SimMedium>,
}

/// The error of a killed process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Killed;

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process was killed")
    }
}

cachemaint::debug_is_display!(Killed);

impl core::error::Error for Killed {}

impl Mortal<'_> {
    pub(super) const fn new(medium: SimMedium) -> Self {
        Self { medium, of: PhantomData }
    }

    /// Returns true if the process is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.medium.state().process().is_alive()
    }

    /// Returns an error if the process was killed in the previous operation.
    fn lived(&self) -> Result<(), Killed> {
        if self.medium.is_dead() { Err(Killed) } else { Ok(()) }
    }
}

impl Readable for Mortal<'_> {
    type Error = Killed;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    #[track_caller]
    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Killed> {
        Ok(self.load(at, order))
    }

    /// A killed process reads the bytes that are there, and those that it has stored since. Reading a bad block also
    /// returns the error of a kill.
    #[track_caller]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Killed> {
        self.medium.read(at, into).map_err(|_bad| Killed)
    }

    fn check(&self) -> Result<(), Killed> {
        Ok(())
    }
}

impl Medium for Mortal<'_> {
    #[track_caller]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    #[track_caller]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.medium.store(at, word, order);
    }

    #[track_caller]
    fn write(&self, at: u64, from: &[u8]) {
        self.medium.write(at, from);
    }

    #[track_caller]
    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Killed> {
        self.medium.issue_writeback(range).or(Err(Killed)).and(self.lived())
    }

    #[track_caller]
    fn fence(&self) -> Result<(), Killed> {
        self.medium.fence().or(Err(Killed)).and(self.lived())
    }

    #[track_caller]
    fn order_observed(&self) {
        self.medium.order_observed();
    }

    #[track_caller]
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Killed> {
        self.medium.copy_unfenced(parts).or(Err(Killed)).and(self.lived())
    }

    #[track_caller]
    fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), Killed> {
        self.medium.persist_copy(parts).or(Err(Killed)).and(self.lived())
    }

    #[track_caller]
    fn persist(&self, range: Range<u64>) -> Result<(), Killed> {
        self.medium.persist(range).or(Err(Killed)).and(self.lived())
    }

    #[track_caller]
    fn deep_persist(&self, range: Range<u64>) -> Result<(), Killed> {
        self.medium.deep_persist(range).or(Err(Killed)).and(self.lived())
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        self.medium.writer_lock()
    }
}
