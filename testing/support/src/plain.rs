//! A medium in ordinary memory, whose bytes can be taken while a format uses it.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::convert::Infallible;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};
use std::sync::Arc;

/// Words that need no write-back. A clone is the same medium.
#[derive(Clone)]
pub struct Plain(Arc<[AtomicU64]>);

/// Without the words.
impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").finish_non_exhaustive()
    }
}

impl Plain {
    /// Returns a medium with the whole words of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word).into()).collect())
    }

    #[must_use]
    pub fn zeros(bytes: usize) -> Self {
        Self((0..bytes / 8).map(|_| AtomicU64::new(0)).collect())
    }

    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.0.len() * 8];
        let Ok(()) = self.read(0, &mut bytes);
        bytes
    }
}

impl Readable for Plain {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.0.len() as u64 * 8
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        let (at, whole) = (at as usize, if at.is_multiple_of(8) { into.len() / 8 * 8 } else { 0 });
        let (words, rest) = into.split_at_mut(whole);
        for (bytes, word) in words.as_chunks_mut().0.iter_mut().zip(&self.0[at / 8..]) {
            *bytes = word.load(Relaxed).to_le_bytes();
        }
        for (at, byte) in (at + whole..).zip(rest) {
            *byte = self.0[at / 8].load(Relaxed).to_le_bytes()[at % 8];
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Medium for Plain {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        assert!(at.is_multiple_of(8));
        self.0[at as usize / 8].load(order)
    }

    fn granularity(&self) -> Granularity {
        Granularity::Line(64)
    }

    fn atomic_unit(&self) -> usize {
        8
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        assert!(at.is_multiple_of(8));
        self.0[at as usize / 8].store(word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        let (at, whole) = (at as usize, if at.is_multiple_of(8) { from.len() / 8 * 8 } else { 0 });
        let (words, rest) = from.split_at(whole);
        for (bytes, word) in words.as_chunks().0.iter().zip(&self.0[at / 8..]) {
            word.store(u64::from_le_bytes(*bytes), Relaxed);
        }
        for (at, byte) in (at + whole..).zip(rest) {
            let mut bytes = self.0[at / 8].load(Relaxed).to_le_bytes();
            bytes[at % 8] = *byte;
            self.0[at / 8].store(u64::from_le_bytes(bytes), Relaxed);
        }
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        assert!(range.start <= range.end && range.end <= Readable::len(self));
        Ok(())
    }

    fn fence(&self) -> Result<(), Self::Error> {
        self.check()
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
