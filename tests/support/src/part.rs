//! The beginning of a medium, as a file has it before it grows.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// The first bytes of a medium.
#[derive(Debug)]
pub struct Part<'m, M> {
    /// The whole medium.
    pub medium: &'m M,
    /// The number of its bytes that are there.
    pub len: u64,
}

impl<M> Clone for Part<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Part<'_, M> {}

impl<M: Medium<Error = Infallible>> Readable for Part<'_, M> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.len
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        assert!(at + into.len() as u64 <= self.len, "after the end");
        self.medium.read(at, into)
    }

    fn check(&self) -> Result<(), Infallible> {
        Readable::check(self.medium)
    }
}

impl<M: Medium<Error = Infallible>> Medium for Part<'_, M> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.medium.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        assert!(at + from.len() as u64 <= self.len, "after the end");
        self.medium.write(at, from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.medium.issue_writeback(range)
    }

    fn fence(&self) {
        self.medium.fence();
    }

    fn order_observed(&self) {
        self.medium.order_observed();
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.medium.deep_persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
