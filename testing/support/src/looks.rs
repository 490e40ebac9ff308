//! Bytes of a medium that count the bytes a reader looks at.

use cachemaint::medium::{Bytes, Readable};
use core::convert::Infallible;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};

/// Bytes, and the number of those that were loaded or read.
pub struct Looks<'b> {
    bytes: Bytes<'b>,
    count: AtomicU64,
}

impl<'b> Looks<'b> {
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes: Bytes(bytes), count: AtomicU64::new(0) }
    }

    /// Returns the number of bytes looked at since the last call.
    pub fn taken(&self) -> u64 {
        self.count.swap(0, Relaxed)
    }
}

impl Readable for Looks<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        self.count.fetch_add(8, Relaxed);
        self.bytes.try_load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        self.count.fetch_add(into.len() as u64, Relaxed);
        self.bytes.read(at, into)
    }

    fn check(&self) -> Result<(), Infallible> {
        self.bytes.check()
    }
}
