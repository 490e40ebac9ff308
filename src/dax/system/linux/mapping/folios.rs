//! Small pages in the page cache under a mapping: a write-back of few bytes writes few blocks.
//!
//! Where the page cache holds large folios (ext4 from Linux 6.16, xfs), a store through a mapping dirties the whole folio,
//! up to 2 MiB, and its write-back writes all of it. Writing zeros to a new file, copying a file and reading it in order
//! make such folios. So
//!
//! 1. when a file is mapped, its clean pages leave the cache and come back one by one: a readahead that was asked for
//!    (`POSIX_FADV_WILLNEED`) and faults under `MADV_RANDOM` make small folios (`mm/readahead.c`, `force_page_cache_ra`;
//!    `mm/filemap.c`, `do_sync_mmap_readahead`). A view takes the pages that are in the cache, and reads the others so,
//!    unless it is longer than [`AHEAD`];
//! 2. another program can read the file later. Then a write-back at the beginning or the end of its range finds out by
//!    `cachestat(2)` that it has cleaned more pages than it was asked to, and the pages around leave the cache.
//!
//! So once for each [`LARGEST`] bytes a write-back can write as many. Before Linux 6.5, and while another program has mapped
//! large folios, that is each time.

use super::advise;
use crate::dax::system::linux::ask::dax_attribute;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use rustix::fs::Advice as FileAdvice;
use rustix::mm::Advice;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The largest folio of the page cache, in bytes (`MAX_PAGECACHE_ORDER` is at most a huge page).
const LARGEST: usize = 2 << 20;

/// The smallest large folio that matters, in pages.
const BLOCK: usize = 4;

/// The bytes at the beginning that are read ahead, so that reading them in order is not one fault a page.
const AHEAD: usize = 64 << 20;

/// The bytes of one request to read ahead. The kernel cuts off what is more than the device reads at a time.
const REQUEST: usize = 128 << 10;

/// A mapping whose pages are kept small.
#[derive(Debug)]
pub(super) struct Folios {
    base: NonNull<u8>,
    len: usize,
    /// The mapping's place in the file.
    offset: u64,
    page: usize,
    /// The number of large folios that stayed in the cache, one after the other: another program has mapped them.
    stayed: AtomicU32,
    /// The number of write-backs.
    calls: AtomicU32,
}

/// Returns true if the pages of a file are known to be in the page cache. On a file that is mapped directly `cachestat`
/// makes Linux 6.12 fail.
pub(super) fn is_cached(file: BorrowedFd<'_>) -> bool {
    dax_attribute(file) == Some(false)
}

/// Has the pages that a view reads be small: its mapping would keep a large folio in the cache, and another process that
/// writes the file would write all of it each time.
pub(super) fn read_small_in_view(file: BorrowedFd<'_>, base: NonNull<u8>, place: (u64, usize)) {
    // Without readahead a longer file takes a fault for each page.
    if place.1 <= AHEAD {
        read_small(file, base, place);
    }
}

/// Reads the beginning of a mapping ahead, and from then on page by page.
fn read_small(file: BorrowedFd<'_>, base: NonNull<u8>, (offset, len): (u64, usize)) {
    advise(base.as_ptr().cast(), len, Advice::Random);
    let ahead = offset + len.min(AHEAD) as u64;
    for at in (offset..ahead).step_by(REQUEST) {
        advise_file(file, at..(at + REQUEST as u64).min(ahead), FileAdvice::WillNeed);
    }
}

/// Pages of which all were dirty before a write-back of fewer.
#[derive(Debug)]
pub(super) struct Seen {
    /// The beginning of each block in the mapping, in bytes.
    blocks: [Option<usize>; 2],
}

impl Folios {
    /// Keeps the pages of a mapping for writing small that was made just now. All of it is a hint, so an error changes
    /// nothing.
    pub(super) fn keep_small(
        file: BorrowedFd<'_>,
        base: NonNull<u8>,
        (offset, len): (u64, usize),
    ) -> Self {
        for advice in [FileAdvice::Random, FileAdvice::DontNeed] {
            advise_file(file, offset..offset + len as u64, advice);
        }
        read_small(file, base, (offset, len));
        let page = rustix::param::page_size();
        let [stayed, calls] = [0, 0].map(AtomicU32::new);
        Self { base, len, offset, page, stayed, calls }
    }

    /// Looks at the pages around both ends of a range before its write-back. Returns those that may be a large folio.
    ///
    /// While nothing helps it looks ever more rarely.
    pub(super) fn seen_before(&self, file: BorrowedFd<'_>, range: &Range<usize>) -> Option<Seen> {
        let calls = self.calls.fetch_add(1, Relaxed);
        if !calls.is_multiple_of(1 << self.stayed.load(Relaxed).min(10)) {
            return None;
        }
        let size = BLOCK * self.page;
        let [first, last] = [range.start / size * size, (range.end - 1) / size * size];
        let may_be_large = |block: usize| {
            let asked = range.end.min(block + size) - range.start.max(block);
            let is_whole = block + size <= self.len;
            is_whole
                && asked <= size / 2
                && self.stat(file, block).is_some_and(|stat| stat.dirty == BLOCK as u64)
        };
        let blocks = [Some(first), (last != first).then_some(last)]
            .map(|block| block.filter(|block| may_be_large(*block)));
        (blocks != [None, None]).then_some(Seen { blocks })
    }

    /// Has the pages around leave the cache, if a write-back has cleaned all that were seen before.
    pub(super) fn drop_large(&self, file: BorrowedFd<'_>, seen: &Seen) {
        let is_clean = |block| self.stat(file, block).is_some_and(|stat| stat.dirty == 0);
        for block in seen.blocks.into_iter().flatten() {
            if !is_clean(block) {
                continue;
            }
            let start = block / LARGEST * LARGEST;
            let len = LARGEST.min(self.len - start);
            let address = self.base.as_ptr().wrapping_add(start).cast();
            // The page table lets go of them first. The bytes are those of the file before and after.
            advise(address, len, Advice::LinuxDontNeed);
            let at = self.offset + start as u64;
            advise_file(file, at..at + len as u64, FileAdvice::DontNeed);
            if self.stat(file, block).is_some_and(|stat| stat.cached == BLOCK as u64) {
                self.stayed.fetch_add(1, Relaxed);
            } else {
                self.stayed.store(0, Relaxed);
            }
        }
    }

    /// Returns the state of a block of the mapping in the page cache, if the kernel knows it.
    fn stat(&self, file: BorrowedFd<'_>, block: usize) -> Option<CacheStat> {
        let range = [self.offset + block as u64, (BLOCK * self.page) as u64];
        let mut stat = CacheStat::default();
        // SAFETY: the kernel reads the first structure and fills the second; both have its layout.
        let done = unsafe {
            libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0)
        };
        (done == 0).then_some(stat)
    }
}

/// `cachestat(2)`, of Linux 6.5, has one number on all architectures but Alpha (`scripts/syscall.tbl`).
const CACHESTAT: libc::c_long = 451;

/// `struct cachestat` (`include/uapi/linux/mman.h`).
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    under_writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

fn advise_file(file: BorrowedFd<'_>, range: Range<u64>, advice: FileAdvice) {
    let len = core::num::NonZero::new(range.end - range.start);
    rustix::fs::fadvise(file, range.start, len, advice).unwrap_or(());
}
