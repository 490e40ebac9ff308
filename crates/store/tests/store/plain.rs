//! A medium in ordinary memory, whose bytes can be taken while a store uses it.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// Bytes that need no write-back. A clone is the same medium.
#[derive(Clone, Debug)]
pub(crate) struct Plain(Arc<Mutex<Vec<u8>>>);

impl Plain {
    /// Uses only whole words of these bytes.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        bytes.truncate(bytes.len() / 8 * 8);
        Self(Arc::new(Mutex::new(bytes)))
    }

    pub(crate) fn zeros(bytes: usize) -> Self {
        Self::new(vec![0; bytes])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Readable for Plain {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        into.copy_from_slice(&self.0.lock().unwrap()[at as usize..][..into.len()]);
        Ok(())
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Medium for Plain {
    fn load(&self, at: u64, _order: Ordering) -> u64 {
        let mut word = [0; 8];
        let Ok(()) = self.read(at, &mut word);
        u64::from_le_bytes(word)
    }

    fn granularity(&self) -> Granularity {
        Granularity::Line(64)
    }

    fn atomic_unit(&self) -> usize {
        8
    }

    fn store(&self, at: u64, word: u64, _order: Ordering) {
        self.write(at, &word.to_le_bytes());
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.0.lock().unwrap()[at as usize..][..from.len()].copy_from_slice(from);
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
