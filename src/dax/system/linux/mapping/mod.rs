//! Mappings on Linux: made with `mmap`, written back with `msync` or a sync of the file, ended with `munmap`.
//!
//! # Why this file is unsafe
//! It makes these calls. The bytes are accessed elsewhere ([`Mapping`](crate::dax::mapping::Mapping)).

mod folios;

use super::super::{Access, Failed, Pages, Part, Unflushed};
use super::device::DeepFlush;
use super::{files, reason};
use crate::dax::latch::{FailedAccess, Failure};
use crate::process::Process;
use core::ffi::c_void;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use rustix::fs::FileType;
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// The blocks under a page are durable before the page can be written, so writing lines back is enough. `MAP_SHARED`
/// without `_VALIDATE` would ignore `MAP_SYNC` silently.
const SYNCHRONOUS: MapFlags = MapFlags::SHARED_VALIDATE.union(MapFlags::SYNC);
/// The operating system must be asked to write pages back.
const SHARED: MapFlags = MapFlags::SHARED;

/// A shared mapping of a part of a file.
#[derive(Debug)]
pub(in crate::dax) struct Mapped {
    base: NonNull<u8>,
    /// The length in whole units, which is what the kernel maps and unmaps.
    len: usize,
    access: Access,
    /// The process that mapped it. A forked child does not inherit the pages, unless `MADV_DONTFORK` is refused.
    owner: Process,
}

/// A mapping in use, and its file.
#[derive(Debug)]
pub(in crate::dax) struct MappedPages {
    /// The file, which is synced in place of a read-only mapping. The kernel treats a mapping of a file that was opened
    /// for reading as private (`do_mmap` clears `VM_SHARED`), and `msync` skips private mappings and succeeds
    /// (`mm/msync.c`; measured on Linux 6.18). Syncing the file writes the pages that others have stored to, and needs
    /// no right to write (`fs/sync.c`).
    file: File,
    /// The part of the file.
    part: Range<u64>,
    /// The attribute that flushes the device; without an attribute, `msync` does it.
    deep_flush: Option<DeepFlush>,
    /// True if stores may not change the modification time: in tmpfs (`mm/shmem.c` has no `page_mkwrite`), which can be
    /// hidden below overlayfs.
    keeps_time: bool,
    /// True if the mapping has no readahead of its own.
    reads_ahead: bool,
    mapped: Mapped,
}

// SAFETY: the address is that of memory which belongs to the value, whichever thread has it.
unsafe impl Send for Mapped {}
// SAFETY: nothing is accessed through it.
unsafe impl Sync for Mapped {}

/// Maps a part of a file for write-backs of lines. The inner error is the kernel's refusal (mmap(2)), the last two by
/// a system-call filter; other errors say nothing about the file.
pub(in crate::dax) fn map_synchronously(
    file: &File,
    part: &Part,
) -> Result<Result<Mapped, i32>, Failed> {
    match mapped(file, part, SYNCHRONOUS) {
        Ok(pages) => Ok(Ok(pages)),
        Err(refusal @ (Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM | Errno::NOSYS)) => {
            Ok(Err(refusal.raw_os_error()))
        }
        Err(errno) => Err(Failed::new("mmap", &errno.into())),
    }
}

/// Maps a part of a file for write-backs of pages.
pub(in crate::dax) fn map(file: &File, part: &Part) -> Result<Mapped, Failed> {
    mapped(file, part, SHARED).map_err(|errno| Failed::new("mmap", &errno.into()))
}

fn mapped(file: &File, part: &Part, flags: MapFlags) -> Result<Mapped, Errno> {
    let len = whole_units(part.len, part.alignment)?;
    let protection = match part.access {
        Access::Read => ProtFlags::READ,
        Access::ReadAndWrite => ProtFlags::READ | ProtFlags::WRITE,
    };
    // The kernel aligns DAX to huge pages (`thp_get_unmapped_area`).
    // SAFETY: a new mapping at an address that the kernel chooses changes nothing that exists.
    let base = unsafe { rustix::mm::mmap(null_mut(), len, protection, flags, file, part.offset) }?;
    advise(base, len, Advice::LinuxDontFork);
    let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
    Ok(Mapped { base, len, access: part.access, owner: Process::this() })
}

impl MappedPages {
    /// Takes a mapping of a file into use. Its end changes the modification time, if it can be written.
    pub(in crate::dax) fn new(
        mapped: Mapped,
        file: &File,
        part: &Part,
        file_system: &str,
        deep_flush: Option<DeepFlush>,
    ) -> Result<Self, Failed> {
        let file = rustix::io::fcntl_dupfd_cloexec(file, 0)
            .map_err(|errno| Failed::new("fcntl", &errno.into()))?;
        let keeps_time =
            matches!(file_system, "tmpfs" | "ramfs" | super::ask::HUGETLBFS | "overlay");
        let part = part.offset..part.offset + part.len as u64;
        Ok(Self { file: file.into(), part, deep_flush, keeps_time, reads_ahead: false, mapped })
    }

    /// Returns its first byte.
    pub(in crate::dax) const fn base(&self) -> NonNull<u8> {
        self.mapped.base
    }

    /// Returns the length of its whole pages.
    pub(in crate::dax) const fn whole_len(&self) -> usize {
        self.mapped.len
    }

    pub(in crate::dax) const fn access(&self) -> Access {
        self.mapped.access
    }

    /// Keeps the folios of the page cache small, if this file system has large ones, and drops `uncached`, a range of the
    /// file, from the cache.
    pub(in crate::dax) fn keep_folios_small(
        mut self,
        file_system: &str,
        uncached: &Range<u64>,
    ) -> Self {
        if folios::are_large(file_system) {
            folios::keep_small(self.file.as_fd(), self.mapped.base, self.mapped.len, uncached);
            self.reads_ahead = true;
        }
        self
    }

    /// Makes every page of `len` bytes accessible (madvise(2), `MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`; Linux
    /// 5.14). No byte changes.
    pub(in crate::dax) fn populate(&self, len: usize) -> Result<(), Unpopulated> {
        let advice = match self.mapped.access {
            Access::Read => Advice::LinuxPopulateRead,
            Access::ReadAndWrite => Advice::LinuxPopulateWrite,
        };
        // An empty range asks whether the kernel knows the advice (madvise(2), "Return value").
        self.populate_pages(0..0, advice).map_err(|_refused| Unpopulated::Unknown)?;
        let Err(mut errno) = self.populate_pages(0..len, advice) else { return Ok(()) };
        // The first page that fails: everything before `good` was populated, something before `bad` was not.
        let page = files::page_size();
        let (mut good, mut bad) = (0, len.div_ceil(page));
        while bad - good > 1 {
            let middle = good.midpoint(bad);
            match self.populate_pages(good * page..middle * page, advice) {
                Ok(()) => good = middle,
                Err(first) => (bad, errno) = (middle, first),
            }
        }
        let is_lost = errno == Errno::HWPOISON;
        Err(Unpopulated::At { at: (good * page) as u64, errno: errno.raw_os_error(), is_lost })
    }

    /// The range begins at a page of the mapping and ends within it, or with its last page.
    fn populate_pages(&self, range: Range<usize>, advice: Advice) -> Result<(), Errno> {
        let address = self.mapped.base.as_ptr().wrapping_add(range.start).cast();
        // SAFETY: the range is in the mapping, and the pages are those of the file, as at any access.
        unsafe { rustix::mm::madvise(address, range.len(), advice) }
    }
}

/// The reason why a mapping could not be populated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dax) enum Unpopulated {
    /// The kernel does not know the advice.
    Unknown,
    /// The page at this offset of the mapping, in bytes, is the first that could not be accessed. `is_lost` is true if
    /// the medium has lost it.
    At { at: u64, errno: i32, is_lost: bool },
}

/// Gives the kernel advice about a range of a mapping made here; no byte changes. A kernel that does not know the
/// advice, lacks it (`CONFIG_ADVISE_SYSCALLS`) or filters it ignores it.
fn advise(address: *mut c_void, len: usize, advice: Advice) {
    // SAFETY: the range is in a shared mapping of our own, whose bytes are the file's before and after.
    unsafe { rustix::mm::madvise(address, len, advice) }.unwrap_or(());
}

impl Pages for MappedPages {
    /// A store behind the end of a cut file, in the same page, raises no signal, and the system clears these bytes instead
    /// of writing them.
    fn writeback(&self, range: Range<usize>) -> Result<(), Failure> {
        let (at, len) = (range.start as u64, range.len() as u64);
        let written = match self.mapped.access {
            Access::Read => retry_on_intr(|| rustix::fs::fdatasync(&self.file)).map_err(Into::into),
            // SAFETY: (1) the range is in the mapping.
            Access::ReadAndWrite => unsafe {
                sync(self.mapped.base.as_ptr().wrapping_add(range.start), range.len())
            },
        };
        written.map_err(|error| Failure::Writeback { at, len, errno: files::number(&error) })?;
        if self.keeps_time && self.mapped.access == Access::ReadAndWrite {
            files::touch(&self.file);
        }
        match retry_on_intr(|| rustix::fs::fstat(&self.file)) {
            // A device has no length.
            Ok(found) if !FileType::from_raw_mode(found.st_mode).is_file() => Ok(()),
            Ok(found) => match u64::try_from(found.st_size).unwrap_or_default() {
                size if size < self.part.end => Err(Failure::Cut { size, needed: self.part.end }),
                _ => Ok(()),
            },
            Err(errno) => Err(Failure::Unmeasured { errno: errno.raw_os_error() }),
        }
    }

    fn writes_whole_file(&self) -> bool {
        self.mapped.access == Access::Read
    }

    fn reason(&self, access: FailedAccess) -> Failure {
        let start = self.mapped.base.addr().get() as u64;
        reason::reason(&self.file, start, &self.part, access)
    }

    fn must_be_asked_for(&self) -> bool {
        self.reads_ahead
    }

    fn read_ahead(&self, range: Range<usize>) {
        let range = self.part.start + range.start as u64..self.part.start + range.end as u64;
        folios::read_ahead(self.file.as_fd(), range);
    }

    fn flush_device(&self) -> Option<Result<(), Unflushed>> {
        self.deep_flush.as_ref().map(DeepFlush::flush)
    }
}

impl Drop for MappedPages {
    fn drop(&mut self) {
        let is_written = self.mapped.access == Access::ReadAndWrite && self.deep_flush.is_none();
        if is_written && self.mapped.owner.is_this() {
            files::touch(&self.file);
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.owner.is_this() {
            // SAFETY: the pages belong to the value, and no borrow of them is left.
            let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
            debug_assert_eq!(unmapped, Ok(()), "a mapping can be unmapped");
        }
    }
}

/// Returns a length in whole units. On hugetlbfs the kernel maps and unmaps only these.
fn whole_units(len: usize, unit: u64) -> Result<usize, Errno> {
    let unit = usize::try_from(unit).map_err(|_too_large| Errno::NOMEM)?;
    len.checked_next_multiple_of(unit).ok_or(Errno::NOMEM)
}

/// Returns the error of `msync`. If rustix calls the C library (powerpc64, s390x and others), its version 1.1
/// returns the return value, -1, as the error; the actual one is in `errno`.
#[cold]
fn errno_of_msync(error: Errno) -> Errno {
    let last = || Errno::from_io_error(&io::Error::last_os_error());
    if error.raw_os_error() == -1 { last().unwrap_or(error) } else { error }
}

/// Writes back the pages that a range touches, and waits.
///
/// # Safety
/// 1. The range is in a mapping of the caller's, or nothing is mapped there, which is an error.
pub(in crate::dax) unsafe fn sync(start: *mut u8, len: usize) -> io::Result<()> {
    let before = start.addr() % files::page_size();
    let first_page = start.wrapping_sub(before).cast();
    retry_on_intr(|| {
        // SAFETY: the caller's duty (1); msync changes no byte.
        unsafe { rustix::mm::msync(first_page, before.saturating_add(len), MsyncFlags::SYNC) }
            .map_err(errno_of_msync)
    })
    .map_err(Into::into)
}
