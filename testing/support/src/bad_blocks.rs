//! Bytes of a medium that has lost some of them: these cannot be read, and the medium has not failed.

use cachemaint::medium::{Bytes, Granularity, Medium, Readable, WriterLock};
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::sync::Mutex;

/// Bytes, some of which cannot be read.
#[derive(Debug)]
pub struct BadBlocks<'b> {
    bytes: Bytes<'b>,
    bad: Vec<Range<u64>>,
}

/// A read met bytes that the medium has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl core::fmt::Display for Lost {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the medium has lost the bytes")
    }
}

impl core::error::Error for Lost {}

impl<'b> BadBlocks<'b> {
    #[must_use]
    pub fn new(bytes: &'b [u8], bad: impl IntoIterator<Item = Range<u64>>) -> Self {
        Self { bytes: Bytes(bytes), bad: bad.into_iter().collect() }
    }

    fn check_range(&self, at: u64, len: u64) -> Result<(), Lost> {
        let is_hit = |bad: &Range<u64>| bad.start < at + len && at < bad.end;
        if self.bad.iter().any(is_hit) { Err(Lost) } else { Ok(()) }
    }
}

impl Readable for BadBlocks<'_> {
    type Error = Lost;

    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Lost> {
        self.check_range(at, 8)?;
        let Ok(word) = self.bytes.try_load(at, order);
        Ok(word)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Lost> {
        self.check_range(at, into.len() as u64)?;
        let Ok(()) = self.bytes.read(at, into);
        Ok(())
    }

    fn check(&self) -> Result<(), Lost> {
        Ok(())
    }
}

/// The size of a page of a [`Mapped`] file.
pub const PAGE: u64 = 4096;

/// A mapped file with bad pages. A system call that reads one fails. A load, a store, or the write-back of a line there
/// would raise SIGBUS, and panics.
#[derive(Debug)]
pub struct Mapped {
    bytes: Mutex<Vec<u8>>,
    granularity: Granularity,
    bad: Vec<u64>,
}

impl Mapped {
    /// Returns a file with these bytes, in which the pages at the offsets `bad` are bad.
    #[must_use]
    pub fn new(bytes: Vec<u8>, granularity: Granularity, bad: &[u64]) -> Self {
        Self { bytes: Mutex::new(bytes), granularity, bad: bad.to_vec() }
    }

    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn is_bad(&self, at: u64, len: u64) -> bool {
        self.bad.iter().any(|bad| *bad < at + len && at < bad + PAGE)
    }

    fn access(&self, at: u64, len: u64) {
        assert!(!self.is_bad(at, len), "SIGBUS: {len} bytes at {at}");
    }
}

impl Readable for Mapped {
    type Error = Lost;

    fn len(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Lost> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Lost> {
        self.access(at, into.len() as u64);
        into.copy_from_slice(&self.bytes.lock().unwrap()[at as usize..][..into.len()]);
        Ok(())
    }

    fn pread(&self, at: u64, into: &mut [u8]) -> Option<Result<(), Lost>> {
        let is_bad = self.is_bad(at, into.len() as u64);
        Some(if is_bad { Err(Lost) } else { self.read(at, into) })
    }

    fn check(&self) -> Result<(), Lost> {
        Ok(())
    }
}

impl Medium for Mapped {
    fn load(&self, at: u64, _: Ordering) -> u64 {
        let mut word = [0; 8];
        self.read(at, &mut word).unwrap();
        u64::from_le_bytes(word)
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn atomic_unit(&self) -> usize {
        8
    }

    fn store(&self, at: u64, word: u64, _: Ordering) {
        self.write(at, &word.to_le_bytes());
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.access(at, from.len() as u64);
        self.bytes.lock().unwrap()[at as usize..][..from.len()].copy_from_slice(from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Lost> {
        if matches!(self.granularity, Granularity::Line(_)) {
            self.access(range.start, range.end - range.start);
        }
        Ok(())
    }

    fn fence(&self) -> Result<(), Lost> {
        Ok(())
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Lost> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
