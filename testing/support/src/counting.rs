//! A medium that counts the operations on it, and fails on request.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::fmt;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};

/// The size of the simulated medium's lines.
const LINE: u64 = 64;

/// A medium that counts, and fails on request.
pub struct Counting<M> {
    pub medium: M,
    stored: AtomicU64,
    lines: AtomicU64,
    fences: AtomicU64,
    /// Bytes loaded and read.
    pub looked_at: AtomicU64,
    /// The number of write-backs that still succeed.
    pub left: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl core::error::Error for Broken {}

impl<M> Counting<M> {
    pub fn new(medium: M) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            medium,
            stored: zero(),
            lines: zero(),
            fences: zero(),
            looked_at: zero(),
            left: AtomicU64::new(u64::MAX),
        }
    }

    /// Returns bytes stored, lines written back and fences since the last time.
    pub fn taken(&self) -> [u64; 3] {
        [&self.stored, &self.lines, &self.fences].map(|count| count.swap(0, Relaxed))
    }
}

impl<M: Medium> Readable for Counting<M> {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Broken> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        self.looked_at.fetch_add(into.len() as u64, Relaxed);
        self.medium.read(at, into).unwrap();
        Ok(())
    }

    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }
}

impl<M: Medium> Medium for Counting<M> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.looked_at.fetch_add(8, Relaxed);
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.stored.fetch_add(8, Relaxed);
        self.medium.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.stored.fetch_add(from.len() as u64, Relaxed);
        self.medium.write(at, from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Broken> {
        if !range.is_empty() {
            self.lines.fetch_add(range.end.div_ceil(LINE) - range.start / LINE, Relaxed);
        }
        if self.left.fetch_sub(1, Relaxed) == 0 {
            return Err(Broken);
        }
        self.medium.issue_writeback(range).unwrap();
        Ok(())
    }

    fn fence(&self) -> Result<(), Broken> {
        self.fences.fetch_add(1, Relaxed);
        self.medium.fence().or(Err(Broken)).and(self.check())
    }

    fn order_observed(&self) {
        self.medium.order_observed();
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Broken> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        self.medium.writer_lock()
    }
}
