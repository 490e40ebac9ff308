//! A medium in ordinary memory, whose bytes can be taken while a format uses it.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};
use std::sync::Arc;

/// Words that need no write-back. A clone is the same medium.
#[derive(Clone, Debug)]
pub struct Plain(Arc<[AtomicU64]>);

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

/// Splits bytes at `at` into those of each word: its number, the place of the bytes in it, and their number.
fn words(at: u64, bytes: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let (mut at, end) = (at as usize, at as usize + bytes);
    core::iter::from_fn(move || {
        let len = (8 - at % 8).min(end - at);
        let word = (at / 8, at % 8, len);
        at += len;
        (len > 0).then_some(word)
    })
}

impl Readable for Plain {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.0.len() as u64 * 8
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, mut into: &mut [u8]) -> Result<(), Infallible> {
        for (word, within, len) in words(at, into.len()) {
            let (part, rest) = into.split_at_mut(len);
            let bytes = self.0[word].load(Relaxed).to_le_bytes();
            part.copy_from_slice(&bytes[within..within + len]);
            into = rest;
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

    fn write(&self, at: u64, mut from: &[u8]) {
        for (word, within, len) in words(at, from.len()) {
            let (part, rest) = from.split_at(len);
            let mut bytes = self.0[word].load(Relaxed).to_le_bytes();
            bytes[within..within + len].copy_from_slice(part);
            self.0[word].store(u64::from_le_bytes(bytes), Relaxed);
            from = rest;
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
