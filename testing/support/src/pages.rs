//! A page cache over a drive, whose write-backs fail on request.

use crate::counting::Broken;
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::ops::Range;
use core::sync::atomic::Ordering::{self, Relaxed};
use core::sync::atomic::{AtomicBool, AtomicU64};

const PAGE: u64 = 4096;

/// A page cache over a drive. A write-back cleans its pages, also one that fails and writes nothing to the drive.
pub struct Pages<M> {
    cache: M,
    drive: M,
    is_dirty: Vec<AtomicBool>,
    /// The number of write-backs before the one that fails.
    pub left: AtomicU64,
    /// The number of write-backs before the one that makes the cache drop its clean pages first.
    drops_clean: AtomicU64,
}

impl<M: Medium> Pages<M> {
    pub fn new(cache: M, drive: M) -> Self {
        let is_dirty = (0..drive.len().div_ceil(PAGE)).map(|_| AtomicBool::new(false)).collect();
        let [left, drops_clean] = [(); 2].map(|()| AtomicU64::new(u64::MAX));
        let pages = Self { cache, drive, is_dirty, left, drops_clean };
        copy(&pages.drive, &pages.cache, 0..pages.len());
        pages
    }

    /// Makes the cache drop its clean pages after this number of write-backs.
    pub fn drops_clean_after(&self, writebacks: Option<u64>) {
        self.drops_clean.store(writebacks.unwrap_or(u64::MAX), Relaxed);
    }

    /// Drops the cache, as an unmounting or a loss of power does.
    pub fn remounted(self) -> Self {
        Self::new(self.cache, self.drive)
    }

    fn pages(range: &Range<u64>) -> Range<usize> {
        let pages = range.start / PAGE..range.end.div_ceil(PAGE);
        pages.start as usize..pages.end as usize
    }

    /// Returns the bytes of a page.
    fn bytes(&self, page: usize) -> Range<u64> {
        let start = page as u64 * PAGE;
        start..self.drive.len().min(start + PAGE)
    }

    fn dirty(&self, range: &Range<u64>) {
        self.is_dirty[Self::pages(range)].iter().for_each(|is_dirty| is_dirty.store(true, Relaxed));
    }
}

fn copy<M: Medium>(from: &M, to: &M, range: Range<u64>) {
    for at in range.step_by(8) {
        to.store(at, from.load(at, Relaxed), Relaxed);
    }
}

impl<M: Medium> Readable for Pages<M> {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.drive.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Broken> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        self.cache.read(at, into).unwrap();
        Ok(())
    }

    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }
}

impl<M: Medium> Medium for Pages<M> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.cache.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        Granularity::Page(PAGE as usize)
    }

    fn atomic_unit(&self) -> usize {
        8
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.cache.store(at, word, order);
        self.dirty(&(at..at + 8));
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.cache.write(at, from);
        self.dirty(&(at..at + from.len() as u64));
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Broken> {
        if range.is_empty() {
            return Ok(());
        }
        if self.drops_clean.fetch_sub(1, Relaxed) == 0 {
            for page in Self::pages(&(0..self.len())) {
                if !self.is_dirty[page].load(Relaxed) {
                    copy(&self.drive, &self.cache, self.bytes(page));
                }
            }
        }
        let fails = self.left.fetch_sub(1, Relaxed) == 0;
        for page in Self::pages(&range).filter(|page| self.is_dirty[*page].swap(false, Relaxed)) {
            if !fails {
                copy(&self.cache, &self.drive, self.bytes(page));
            }
        }
        if fails { Err(Broken) } else { Ok(()) }
    }

    fn fence(&self) -> Result<(), Broken> {
        self.check()
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Broken> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
