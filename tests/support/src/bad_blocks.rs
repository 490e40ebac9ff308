//! Bytes of a medium that has lost some of them: these cannot be read, and the medium has not failed.

use cachemaint::medium::{Bytes, Readable};
use core::ops::Range;
use core::sync::atomic::Ordering;

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
