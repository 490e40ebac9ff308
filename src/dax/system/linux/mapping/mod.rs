//! Mappings on Linux: made with `mmap`, written back with `msync` or a sync of the file, ended with `munmap`.
//!
//! # Why this file is unsafe
//! It makes these calls. The bytes are accessed elsewhere ([`Mapping`](crate::dax::mapping::Mapping)).

mod folios;

use super::device::DeepFlush;
use super::{Linux, files};
use crate::dax::mapping::{Mapping, Pages, Unflushed};
use crate::dax::system::{Access, MapOptions};
use crate::dax::{Guarantee, Writeback};
use crate::process::Process;
use crate::survival::Backing;
use crate::system::calls::uninterrupted;
use core::ffi::c_void;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The blocks under a page are durable before the page can be written, so writing lines back is enough. `MAP_SHARED`
/// without `_VALIDATE` would ignore `MAP_SYNC` silently.
pub(super) const SYNCHRONOUS: MapFlags = MapFlags::SHARED_VALIDATE.union(MapFlags::SYNC);
/// The operating system must be asked to write pages back.
pub(super) const SHARED: MapFlags = MapFlags::SHARED;

/// A shared mapping of a part of a file.
#[derive(Debug)]
struct MappedPages {
    base: NonNull<u8>,
    /// The length in whole units, which is what the kernel maps and unmaps.
    len: usize,
    page: usize,
    /// The attribute that flushes the medium; without an attribute, `msync` does it.
    deep_flush: Option<DeepFlush>,
    /// The file, which is synced in place of a read-only mapping. The kernel treats a mapping of a file that was opened
    /// for reading as private (`do_mmap` clears `VM_SHARED`), and `msync` skips private mappings and succeeds
    /// (`mm/msync.c`; measured on Linux 6.18). Syncing the file writes the pages that others have stored to, and needs
    /// no right to write (`fs/sync.c`).
    file: OwnedFd,
    access: Access,
    /// True if stores may not change the modification time: in tmpfs (`mm/shmem.c` has no `page_mkwrite`), which can be
    /// hidden below overlayfs.
    keeps_time: bool,
    /// The mapping's place in the file, if it has no readahead of its own.
    reads_ahead_from: Option<u64>,
    /// The process that mapped it. A forked child does not inherit the pages, unless `MADV_DONTFORK` is refused.
    owner: Process,
}

// SAFETY: the address is that of memory which belongs to the value, whichever thread has it.
unsafe impl Send for MappedPages {}
// SAFETY: nothing is accessed through it.
unsafe impl Sync for MappedPages {}

/// Maps a part of a file with this guarantee. The kernel maps units of the guarantee's alignment, and the offset is a
/// multiple of it. The error names the call.
pub(super) fn new(
    fd: BorrowedFd<'_>,
    part: &MapOptions,
    guarantee: &Guarantee,
) -> Result<Mapping, (&'static str, Errno)> {
    let of_mmap = |errno| ("mmap", errno);
    let len = whole_units(part.len, guarantee.alignment).map_err(of_mmap)?;
    let file = rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(|errno| ("fcntl", errno))?;
    let base = map(fd, part, len).map_err(of_mmap)?;
    let mut pages = MappedPages {
        base,
        len,
        page: rustix::param::page_size(),
        deep_flush: Linux::deep_flush_of(guarantee),
        file,
        access: part.access,
        keeps_time: guarantee.backing == Backing::Ram || guarantee.file_system == "overlay",
        reads_ahead_from: None,
        owner: Process::this(),
    };
    advise(base.as_ptr().cast(), len, Advice::LinuxDontFork);
    if matches!(part.writeback, Writeback::Pages) && folios::are_large(&guarantee.file_system) {
        folios::keep_small(fd, base, len, &part.shed);
        pages.reads_ahead_from = Some(part.offset);
    }
    // SAFETY: (1) it was mapped so just now, by whole pages, and is unmapped when `pages` is dropped; (2) mappings
    // begin at a page; (3) no other code knows of it.
    let mapping = unsafe { Mapping::new(base, part.len, pages) };
    // SAFETY: (1) as above.
    Ok(unsafe { mapping.register(len, part.access == Access::ReadAndWrite) })
}

/// Gives the kernel advice about a range of a mapping made here; no byte changes. A kernel that does not know the
/// advice, lacks it (`CONFIG_ADVISE_SYSCALLS`) or filters it ignores it.
fn advise(address: *mut c_void, len: usize, advice: Advice) {
    // SAFETY: the range is in a shared mapping of our own, whose bytes are the file's before and after.
    unsafe { rustix::mm::madvise(address, len, advice) }.unwrap_or(());
}

/// Asks the kernel for a mapping of the file with these flags. Nothing is accessed.
pub(super) fn probe(file: BorrowedFd<'_>, flags: MapFlags, page: usize) -> Result<(), Errno> {
    // SAFETY: a new mapping at an address that the kernel chooses changes nothing that exists.
    let base = unsafe { rustix::mm::mmap(null_mut(), page, ProtFlags::READ, flags, file, 0) }?;
    // SAFETY: it was mapped just now and no other code knows of it.
    unsafe { rustix::mm::munmap(base, page) }
}

/// The reason why a mapping could not be populated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpopulated {
    /// The kernel does not know the advice.
    Unknown,
    /// The page at this offset of the mapping, in bytes, is the first that could not be accessed.
    At { at: u64, errno: Errno },
}

/// Makes every page of a mapping accessible for `access` (madvise(2), `MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`;
/// Linux 5.14). No byte changes.
pub(super) fn populate(mapping: &Mapping, access: Access) -> Result<(), Unpopulated> {
    let advice = match access {
        Access::Read => Advice::LinuxPopulateRead,
        Access::ReadAndWrite => Advice::LinuxPopulateWrite,
    };
    // An empty range asks whether the kernel knows the advice (madvise(2), "Return value").
    populate_pages(mapping, 0..0, advice).map_err(|_refused| Unpopulated::Unknown)?;
    let Err(mut errno) = populate_pages(mapping, 0..mapping.len(), advice) else { return Ok(()) };
    // The first page that fails: everything before `good` was populated, something before `bad` was not.
    let page = rustix::param::page_size();
    let (mut good, mut bad) = (0, mapping.len().div_ceil(page));
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        match populate_pages(mapping, good * page..middle * page, advice) {
            Ok(()) => good = middle,
            Err(first) => (bad, errno) = (middle, first),
        }
    }
    Err(Unpopulated::At { at: (good * page) as u64, errno })
}

/// The range begins at a page of the mapping and ends within it, or with its last page.
fn populate_pages(mapping: &Mapping, range: Range<usize>, advice: Advice) -> Result<(), Errno> {
    let address = mapping.base().as_ptr().wrapping_add(range.start).cast();
    // SAFETY: the range is in the mapping, and the pages are those of the file, as at any access.
    unsafe { rustix::mm::madvise(address, range.len(), advice) }
}

impl Pages for MappedPages {
    fn writeback(&self, range: Range<usize>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        if self.access == Access::Read {
            return uninterrupted(|| rustix::fs::fdatasync(&self.file)).map_err(io::Error::from);
        }
        let (file, start) = (self.file.as_fd(), self.base.as_ptr().wrapping_add(range.start));
        // SAFETY: (1) the range is in the mapping.
        unsafe { sync(start, range.len(), self.page) }?;
        if self.keeps_time {
            files::touch(file);
        }
        Ok(())
    }

    fn must_be_asked_for(&self) -> bool {
        self.reads_ahead_from.is_some()
    }

    fn read_ahead(&self, range: Range<usize>) {
        if let Some(offset) = self.reads_ahead_from {
            let range = offset + range.start as u64..offset + range.end as u64;
            folios::read_ahead(self.file.as_fd(), range);
        }
    }

    fn flush_medium(&self) -> Option<Result<(), Unflushed>> {
        self.deep_flush.as_ref().map(DeepFlush::flush)
    }
}

impl Drop for MappedPages {
    fn drop(&mut self) {
        if self.owner.is_this() {
            if self.access == Access::ReadAndWrite && self.deep_flush.is_none() {
                files::touch(&self.file);
            }
            // SAFETY: the pages belong to the value, and no borrow of them is left.
            let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
            debug_assert_eq!(unmapped, Ok(()), "a mapping can be unmapped");
        }
    }
}

/// Maps `len` bytes of the file at an address that the kernel chooses. It aligns DAX to huge pages
/// (`thp_get_unmapped_area`).
fn map(file: BorrowedFd<'_>, part: &MapOptions, len: usize) -> Result<NonNull<u8>, Errno> {
    let protection = match part.access {
        Access::Read => ProtFlags::READ,
        Access::ReadAndWrite => ProtFlags::READ | ProtFlags::WRITE,
    };
    let flags = match part.writeback {
        Writeback::Pages => SHARED,
        Writeback::Fence(_) | Writeback::Lines(_) => SYNCHRONOUS,
    };
    // SAFETY: a new mapping at an address that the kernel chooses changes nothing that exists.
    let base = unsafe { rustix::mm::mmap(null_mut(), len, protection, flags, file, part.offset) }?;
    NonNull::new(base.cast()).ok_or(Errno::NOMEM)
}

/// Returns a length in whole units. On hugetlbfs the kernel maps and unmaps only these.
fn whole_units(len: usize, unit: u64) -> Result<usize, Errno> {
    let unit = usize::try_from(unit).map_err(|_too_large| Errno::NOMEM)?;
    len.checked_next_multiple_of(unit).ok_or(Errno::NOMEM)
}

/// Returns the reason why `msync` failed. If rustix calls the C library (powerpc64, s390x and others), its version 1.1
/// returns the return value, -1, as the error; the actual one is in `errno`.
#[cold]
fn reason_of_msync(error: Errno) -> io::Error {
    if error.raw_os_error() == -1 { io::Error::last_os_error() } else { error.into() }
}

/// Writes back the pages that a range touches, and waits.
///
/// # Safety
/// 1. The range is in a mapping of the caller's, or nothing is mapped there, which is an error.
pub(super) unsafe fn sync(start: *mut u8, len: usize, page: usize) -> io::Result<()> {
    let before = start.addr() % page;
    let first_page = start.wrapping_sub(before).cast();
    uninterrupted(|| {
        // SAFETY: the caller's duty (1); msync changes no byte.
        unsafe { rustix::mm::msync(first_page, before.saturating_add(len), MsyncFlags::SYNC) }
            .map_err(reason_of_msync)
    })
}
