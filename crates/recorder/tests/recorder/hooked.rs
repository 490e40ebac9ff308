//! Memory that calls a hook of the test before each access.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint_test_support::plain::Plain;
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// An access to a word.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Load(Ordering),
    /// A read of several words that include this one.
    Read,
    Store(u64),
}

/// Memory with a function that is called before each access to a word, with the memory, the offset and the access. If
/// it returns a word, a load or read returns that word.
pub(crate) struct Hooked<F> {
    pub(crate) medium: Plain,
    pub(crate) hook: F,
}

impl<F: Fn(&Plain, u64, Access) -> Option<u64> + Sync> Readable for Hooked<F> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        Readable::len(&self.medium)
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        for (at, bytes) in (at..).step_by(8).zip(into.as_chunks_mut().0) {
            let word = (self.hook)(&self.medium, at, Access::Read);
            *bytes = word.unwrap_or_else(|| self.medium.load(at, Ordering::Relaxed)).to_le_bytes();
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<F: Fn(&Plain, u64, Access) -> Option<u64> + Sync> Medium for Hooked<F> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        let word = (self.hook)(&self.medium, at, Access::Load(order));
        word.unwrap_or_else(|| self.medium.load(at, order))
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        8
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        (self.hook)(&self.medium, at, Access::Store(word));
        self.medium.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        for (at, word) in (at..).step_by(8).zip(from.as_chunks().0) {
            self.store(at, u64::from_le_bytes(*word), Ordering::Relaxed);
        }
    }

    fn issue_writeback(&self, _: Range<u64>) -> Result<(), Infallible> {
        Ok(())
    }

    fn fence(&self) -> Result<(), Self::Error> {
        self.check()
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, _: Range<u64>) -> Result<(), Infallible> {
        Ok(())
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
