//! The beginning of a medium, as a file has it before it grows.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
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

impl<M: Medium> Readable for Part<'_, M> {
    type Error = M::Error;

    fn len(&self) -> u64 {
        self.len
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, M::Error> {
        self.medium.try_load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), M::Error> {
        assert!(at + into.len() as u64 <= self.len, "after the end");
        self.medium.read(at, into)
    }

    fn check(&self) -> Result<(), M::Error> {
        Readable::check(self.medium)
    }
}

impl<M: Medium> Medium for Part<'_, M> {
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

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.issue_writeback(range)
    }

    fn fence(&self) -> Result<(), M::Error> {
        self.medium.fence()
    }

    fn order_observed(&self) {
        self.medium.order_observed();
    }

    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        self.medium.copy_unfenced(parts)
    }

    #[expect(unsafe_code, reason = "passed on")]
    unsafe fn copy_unordered(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        // SAFETY: the caller has the same duty.
        unsafe { self.medium.copy_unordered(parts) }
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.deep_persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
