//! Small folios in the page cache under a mapping, so that a write-back of few bytes writes few blocks.
//!
//! If the page cache holds large folios, a store through a mapping dirties the whole folio, up to 2 MiB, and its
//! write-back writes all of it. Writing zeros to a new file, copying a file, and reading it in order make such folios.
//! A fault under `MADV_RANDOM` makes a small one (`mm/filemap.c`, `do_sync_mmap_readahead`), and so does a requested
//! readahead (`mm/readahead.c`, `force_page_cache_ra`). Therefore
//!
//! 1. the zeros of a new file, or of a new end, are dropped from the cache once they are on the medium;
//! 2. a mapping has no readahead, and a sequential reader [asks](ReadAhead) for the bytes ahead.

use super::advise;
use core::ops::Range;
use core::ptr::NonNull;
use rustix::fs::Advice as FileAdvice;
use rustix::io::ReadWriteFlags;
use rustix::mm::Advice;
use std::io::IoSliceMut;
use std::os::fd::BorrowedFd;

/// The number of bytes of one request to read ahead. The kernel truncates it to what the device reads at a time.
const REQUEST: usize = 128 << 10;

/// Returns true if the page cache of a file system holds large folios on this kernel: xfs from Linux 5.18 on, ext4 from 6.16
/// on. btrfs has none on 6.18 (measured).
pub(super) fn are_large(file_system: &str) -> bool {
    let since = match file_system {
        "xfs" => (5, 18),
        "ext4" => (6, 16),
        _ => return false,
    };
    version(&rustix::system::uname().release().to_string_lossy()) >= Some(since)
}

/// Returns the first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Makes each page of a mapping fault in on its own, and drops `uncached`, a range of the file, from the cache. It is
/// advice: an error changes nothing.
pub(super) fn keep_small(
    file: BorrowedFd<'_>,
    base: NonNull<u8>,
    len: usize,
    uncached: &Range<u64>,
) {
    if !uncached.is_empty() {
        advise_file(file, uncached.clone(), FileAdvice::DontNeed);
    }
    advise(base.as_ptr().cast(), len, Advice::Random);
}

/// Asks for the pages of a range of the file, unless the last page is in the cache.
pub(super) fn read_ahead(file: BorrowedFd<'_>, range: Range<u64>) {
    if range.is_empty() || is_cached(file, range.end - 1) {
        return;
    }
    for at in range.clone().step_by(REQUEST) {
        advise_file(file, at..range.end.min(at + REQUEST as u64), FileAdvice::WillNeed);
    }
}

/// Returns true if a byte of the file is known to be in the page cache.
fn is_cached(file: BorrowedFd<'_>, at: u64) -> bool {
    let (mut byte, flags) = ([0], ReadWriteFlags::NOWAIT);
    rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, flags).is_ok()
}

fn advise_file(file: BorrowedFd<'_>, range: Range<u64>, advice: FileAdvice) {
    let len = core::num::NonZero::new(range.end - range.start);
    rustix::fs::fadvise(file, range.start, len, advice).unwrap_or(());
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_release_begins_with_two_numbers() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("5.10.0-33-amd64"), Some((5, 10)));
        assert_eq!(version("6.1"), Some((6, 1)));
        assert!(version("6.9.1") < Some((6, 16)) && version("7.0-rc1") > Some((6, 16)));
        assert_eq!(version("unknown"), None);
    }
}
