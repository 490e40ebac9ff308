//! Mappings on Linux: made with `mmap`, written back with `msync`, or through their file, given back with
//! `munmap`.
//!
//! # Why this file is unsafe
//! It makes these calls. The bytes are accessed elsewhere
//! ([`Mapping`](crate::dax::mapping::Mapping)).

mod forks;

use self::forks::Place;
use super::device::DeepFlush;
use crate::aliasing;
use crate::arch::DataCache;
use crate::arch::native;
use crate::dax::Writeback;
use crate::dax::mapping::{Mapping, Pages, Unflushed};
use crate::dax::system::{Access, Plan};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// The size of a huge page on the architectures that map DAX with them, in bytes. A mapping that is congruent to its
/// file offset modulo this size can use them.
const HUGE: u64 = 2 << 20;

/// The number of places that are tried for a mapping, each of which another thread can take first.
const PLACES: u32 = 16;

/// Returns the moduli, in bytes, for which a mapping's address and its offset in the file should be congruent, and must be.
/// With the first one the mapping can use huge pages. With the second it agrees with all other mappings of the file.
/// A page means that any place will do.
///
/// `unit` is the unit in which the kernel maps, a page or more.
fn moduli(cache: &DataCache, len: usize, page: u64, unit: u64) -> [u64; 2] {
    // All are powers of two, so the largest is a multiple of the others.
    let required = cache.modulus(page).unwrap_or(page).max(unit);
    let huge = if len as u64 >= HUGE { HUGE } else { page };
    [required.max(huge), required]
}

/// The path of stores to the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `MAP_SYNC`: the blocks under a page are durable before it can be written, so that writing
    /// lines back is enough.
    Synchronous,
    /// `MAP_SHARED`: the operating system must be asked.
    Shared,
}

/// A shared mapping of a part of a file.
#[derive(Debug)]
struct Mapped {
    base: NonNull<u8>,
    /// The mapped part. Its length is rounded up to whole units, which is what the kernel maps and unmaps.
    plan: Plan,
    page: usize,
    /// The attribute that flushes the medium; `msync` does it where there is no attribute.
    deep_flush: Option<DeepFlush>,
    /// The place, which forked children do not inherit. `None` if the caller has mapped it, and will unmap it.
    place: Option<Place>,
    /// The file that is synced instead of the mapping, if the mapping is for reading only, by pages.
    ///
    /// The kernel takes a mapping of a file that was opened for reading for a private one (`do_mmap` clears
    /// `VM_SHARED`). `msync` skips private ones, and succeeds (`mm/msync.c`). The same is measured on Linux 6.18: pages
    /// that another mapping has stored to stay dirty. Syncing the file writes them, and asks for no right to write
    /// (`fs/sync.c`).
    file: Option<OwnedFd>,
    /// True if the kernel maps single pages of the file. Before Linux 5.16 it does not move huge pages.
    is_by_pages: bool,
    /// The pages, with those between them, that show zeros because the file could not be mapped again.
    zeros: Mutex<Range<usize>>,
}

// SAFETY: the address is that of memory which belongs to the value, whichever thread has it.
unsafe impl Send for Mapped {}
// SAFETY: nothing is accessed through it.
unsafe impl Sync for Mapped {}

/// Maps a part of the file. `unit` is the number of bytes that the kernel maps at once, a page or more; the offset is a
/// multiple of it. `deep_flush` flushes a medium that has no file system.
pub(super) fn new(
    fd: BorrowedFd<'_>,
    plan: &Plan,
    unit: u64,
    deep_flush: Option<DeepFlush>,
) -> Result<Mapping, Errno> {
    let page = rustix::param::page_size();
    let whole = Plan { len: whole_units(plan.len, unit)?, ..*plan };
    let file = match (plan.access, Kind::of(plan.writeback)) {
        (Access::Read, Kind::Shared) => Some(rustix::io::fcntl_dupfd_cloexec(fd, 0)?),
        (Access::ReadAndWrite, _) | (_, Kind::Synchronous) => None,
    };
    forks::register()?;
    let moduli = moduli(&native::ARCHITECTURE.data_cache, plan.len, page as u64, unit);
    let base = map_aligned(fd, &whole, moduli)?;
    let mapped = Mapped {
        base,
        plan: whole,
        page,
        deep_flush,
        place: Some(Place::keep(base.as_ptr().cast(), whole.len)),
        file,
        is_by_pages: unit == page as u64,
        zeros: Mutex::new(0..0),
    };
    keep_from_children(base.as_ptr().cast(), whole.len)?;
    // SAFETY: (1) it was mapped so just now, by whole pages, and is unmapped when `mapped` is dropped; (2) mappings
    // begin at a page; (3) no other code knows of it.
    Ok(unsafe { Mapping::new(base, plan.len, mapped) })
}

/// Takes a mapping that the caller has made and unmaps, of the part of a file that the plan says.
///
/// # Safety
/// 1. The bytes from `base` on are such a mapping, up to the end of the last page, until the value is dropped.
/// 2. `base` is a multiple of the page size.
/// 3. This process makes no reference to the bytes except to atomic words.
pub(super) unsafe fn adopt(
    base: NonNull<u8>,
    plan: &Plan,
    deep_flush: Option<DeepFlush>,
) -> Mapping {
    let mapped = Mapped {
        base,
        plan: *plan,
        page: rustix::param::page_size(),
        deep_flush,
        place: None,
        file: None,
        is_by_pages: true,
        zeros: Mutex::new(0..0),
    };
    // SAFETY: (1, 2, 3) the caller's duties of the same numbers.
    unsafe { Mapping::new(base, plan.len, mapped) }
}

/// A forked child would be a second writer, with no lock of its own. Refused only where the kernel does
/// not know the advice; then the documentation's warning is all there is.
fn keep_from_children(address: *mut core::ffi::c_void, len: usize) -> Result<(), Errno> {
    // SAFETY: the range is in a mapping of our own, and nothing that this process can see changes.
    match unsafe { rustix::mm::madvise(address, len, Advice::LinuxDontFork) } {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Asks the kernel for this kind of mapping of the file. Nothing is accessed.
pub(super) fn probe(file: BorrowedFd<'_>, kind: Kind, page: usize) -> Result<(), Errno> {
    // SAFETY: a new mapping at an address that the kernel chooses changes nothing that exists.
    let base =
        unsafe { rustix::mm::mmap(null_mut(), page, ProtFlags::READ, kind.flags(), file, 0) }?;
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
pub(super) fn populate_pages(
    mapping: &Mapping,
    range: Range<usize>,
    advice: Advice,
) -> Result<(), Errno> {
    let address = mapping.base().as_ptr().wrapping_add(range.start).cast();
    // SAFETY: the range is in the mapping, and the pages are those of the file, as at any access.
    unsafe { rustix::mm::madvise(address, range.len(), advice) }
}

impl Pages for Mapped {
    fn writeback(&self, range: Range<usize>) -> io::Result<()> {
        if let Some(file) = &self.file {
            return rustix::fs::fdatasync(file).map_err(io::Error::from);
        }
        let start = self.base.as_ptr().wrapping_add(range.start);
        // SAFETY: the range is in the mapping.
        unsafe { sync(start, range.len(), self.page) }
    }

    fn flush_medium(&self, range: Range<usize>) -> Result<(), Unflushed> {
        match &self.deep_flush {
            Some(deep_flush) => deep_flush.flush(),
            None => self.writeback(range).map_err(Unflushed::Call),
        }
    }

    fn map_again(
        &self,
        range: Range<usize>,
        file: &File,
        zeros_left: &AtomicI32,
    ) -> io::Result<()> {
        let mut zeros = self.zeros.lock().unwrap_or_else(PoisonError::into_inner);
        let all = match (zeros.is_empty(), range.is_empty()) {
            (true, _) => range,
            (_, true) => zeros.clone(),
            _ => zeros.start.min(range.start)..zeros.end.max(range.end),
        };
        if all.is_empty() {
            return Ok(());
        }
        let replaced = self.replace(&all, file.as_fd());
        *zeros = if replaced.is_ok() { 0..0 } else { all };
        // Under the lock, so that it agrees with the range. The guard's slot is given back later, with release.
        zeros_left.store(replaced.err().map_or(0, Errno::raw_os_error), Relaxed);
        Ok(replaced?)
    }

    fn is_writable(&self) -> bool {
        self.plan.access == Access::ReadAndWrite
    }

    fn is_adopted(&self) -> bool {
        self.place.is_none()
    }
}

impl Mapped {
    /// Maps a range of the file over the zeros in its place. If it fails, they stay.
    ///
    /// `mmap(MAP_FIXED)` unmaps the old pages before it asks the file system, which can refuse: it was shut down, for
    /// example. The addresses would be free then, and another thread's mapping could get there. So the file is mapped
    /// elsewhere first, where a refusal does no harm. Then the mapping is moved, in one call, so that every access
    /// meets one mapping or the other.
    fn replace(&self, range: &Range<usize>, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let address = self.base.as_ptr().wrapping_add(range.start).cast();
        let offset = self.plan.offset.saturating_add(range.start as u64);
        let plan = Plan { offset, len: range.len(), ..self.plan };
        // Locked zeros would count beside the pages of the file (RLIMIT_MEMLOCK). If this fails, both may still fit.
        // SAFETY: the range is in the mapping, and no byte changes.
        let _unlocked = unsafe { rustix::mm::munlock(address, plan.len) };
        match self.move_to(address, file, &plan) {
            // The process has no room for both (RLIMIT_AS, vm.max_map_count). The kernel checks that before it
            // unmaps, and one page shows that the file system permits the mapping.
            Err(Errno::NOMEM) if self.is_by_pages => {
                probe(file, Kind::of(plan.writeback), self.page)?;
                map(address, file, &plan, MapFlags::FIXED)?;
                keep_from_children(address, plan.len)
            }
            moved => moved,
        }
    }

    /// Maps the file elsewhere, and moves the mapping to its place.
    fn move_to(
        &self,
        address: *mut core::ffi::c_void,
        file: BorrowedFd<'_>,
        plan: &Plan,
    ) -> Result<(), Errno> {
        let spare = map(null_mut(), file, plan, MapFlags::empty())?.as_ptr().cast();
        let moved = keep_from_children(spare, plan.len)
            .and_then(|()| self.take_place(spare, address, file, plan));
        if moved.is_err() || !self.is_by_pages {
            unmap(spare, plan.len)?;
        }
        moved
    }

    /// Moves a new mapping of the file to its place. Huge pages are mapped there instead, and the new mapping stays
    /// where it is: it holds the reservation that the one in place needs.
    fn take_place(
        &self,
        spare: *mut core::ffi::c_void,
        address: *mut core::ffi::c_void,
        file: BorrowedFd<'_>,
        plan: &Plan,
    ) -> Result<(), Errno> {
        if !self.is_by_pages {
            map(address, file, plan, MapFlags::FIXED)?;
            return keep_from_children(address, plan.len);
        }
        let (len, flags) = (plan.len, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED);
        // rustix 1.1.6 passes MAP_FIXED where it calls the C library (s390x and PowerPC), which the kernel refuses.
        // SAFETY: the old range was mapped by the caller, and nothing else knows of it. The new range is in the mapping
        // of `self`, and shows the same bytes of the file afterwards, which others may change at any time.
        let moved = unsafe { libc::mremap(spare, len, len, flags, address) };
        if moved == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
        }
        Ok(())
    }
}

/// Takes all pages out of the page table, also locked ones from Linux 5.18 on. No byte changes.
pub(super) fn drop_pages(mapping: &Mapping) -> io::Result<()> {
    let (address, len) = (mapping.base().as_ptr().cast(), mapping.len());
    // SAFETY: the range is the mapping, which is a shared one of a file: the bytes are the file's, and are
    // there again at the next access (madvise(2), MADV_DONTNEED).
    let drop_by = |advice| unsafe { rustix::mm::madvise(address, len, advice) };
    drop_by(Advice::LinuxDontNeed).or_else(|_are_locked| drop_by(Advice::LinuxDontneedLocked))?;
    Ok(())
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // A forked child has a copy of the value and not of the mapping.
        if self.place.take().is_some_and(Place::leave) {
            // SAFETY: the pages belong to the value, and no borrow of them is left.
            let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.plan.len) };
            debug_assert_eq!(unmapped, Ok(()), "a mapping can be unmapped");
        }
    }
}

impl Kind {
    /// Returns the kind of mapping that a method of write-back needs.
    pub(super) const fn of(writeback: Writeback) -> Self {
        match writeback {
            Writeback::Pages => Self::Shared,
            Writeback::Fence(_) | Writeback::Lines(_) => Self::Synchronous,
        }
    }

    /// Returns the flags of `mmap`. `MAP_SHARED` alone would ignore `MAP_SYNC` silently.
    const fn flags(self) -> MapFlags {
        match self {
            Self::Synchronous => MapFlags::SHARED_VALIDATE.union(MapFlags::SYNC),
            Self::Shared => MapFlags::SHARED,
        }
    }
}

fn map(
    address: *mut core::ffi::c_void,
    file: BorrowedFd<'_>,
    plan: &Plan,
    placement: MapFlags,
) -> Result<NonNull<u8>, Errno> {
    let protection = match plan.access {
        Access::Read => ProtFlags::READ,
        Access::ReadAndWrite => ProtFlags::READ | ProtFlags::WRITE,
    };
    let flags = Kind::of(plan.writeback).flags() | placement;
    // SAFETY: without `MAP_FIXED` the kernel chooses a free place. With it the address is that of pages of a mapping:
    // these show the same bytes of the file then, which others may change at any time.
    let base =
        unsafe { rustix::mm::mmap(address, plan.len, protection, flags, file, plan.offset) }?;
    NonNull::new(base.cast()).ok_or(Errno::NOMEM)
}

/// A length in whole units, as the kernel maps it on hugetlbfs, whatever it was asked for. It unmaps nothing else.
fn whole_units(len: usize, unit: u64) -> Result<usize, Errno> {
    let unit = usize::try_from(unit).map_err(|_too_large| Errno::NOMEM)?;
    len.checked_next_multiple_of(unit).ok_or(Errno::NOMEM)
}

/// Maps whole units of the file at an address that is congruent to the offset for the wanted modulus if such a place is
/// found, and for the required one otherwise.
fn map_aligned(
    file: BorrowedFd<'_>,
    plan: &Plan,
    [wanted, required]: [u64; 2],
) -> Result<NonNull<u8>, Errno> {
    match map_congruent(file, plan, wanted) {
        Err(_) if wanted != required => map_congruent(file, plan, required),
        mapped => mapped,
    }
}

/// Maps whole units of the file at an address that is congruent to the offset, as most often the kernel does by itself.
///
/// Under `mlockall(MCL_FUTURE)` each range counts against the limit of locked memory, also a reserved one. So one range
/// exists at a time, and the place is only asked for: Linux refuses `MAP_FIXED_NOREPLACE` beside `MAP_SYNC`.
fn map_congruent(file: BorrowedFd<'_>, plan: &Plan, modulus: u64) -> Result<NonNull<u8>, Errno> {
    let mut place = null_mut();
    for tried in 0..PLACES {
        let base = map(place, file, plan, MapFlags::empty())?;
        let gap = aliasing::gap(base.addr().get(), plan.offset, modulus);
        if gap == 0 {
            return Ok(base);
        }
        unmap(base.as_ptr().cast(), plan.len)?;
        place = if tried == 0 {
            // Most often free, as the kernel places mappings from above, and needs no reservation.
            let back = usize::try_from(modulus - gap).unwrap_or(usize::MAX);
            base.as_ptr().map_addr(|at| at.saturating_sub(back)).cast()
        } else {
            free_place(plan, modulus)?
        };
    }
    Err(Errno::AGAIN)
}

/// Returns a congruent address with enough free addresses after it, which another thread can take at any time.
fn free_place(plan: &Plan, modulus: u64) -> Result<*mut core::ffi::c_void, Errno> {
    let spare = usize::try_from(modulus).map_err(|_too_large| Errno::NOMEM)?;
    let len = plan.len.checked_add(spare).ok_or(Errno::NOMEM)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address that the kernel chooses changes nothing that exists.
    let free = unsafe { rustix::mm::mmap_anonymous(null_mut(), len, ProtFlags::empty(), flags) }?;
    unmap(free, len)?;
    // Less than the modulus, which is an address.
    let gap = usize::try_from(aliasing::gap(free.addr(), plan.offset, modulus)).unwrap_or_default();
    Ok(free.wrapping_byte_add(gap))
}

/// Returns the reason why `msync` failed. Where rustix calls the C library (powerpc64, s390x and others), version 1.1
/// takes the return value, -1, for the error, which the C library leaves in `errno`.
#[cold]
fn reason_of_msync(error: Errno) -> io::Error {
    if error.raw_os_error() == -1 { io::Error::last_os_error() } else { error.into() }
}

/// Has the pages that a range touches written back, and waits.
///
/// # Safety
/// 1. The range is in a mapping of the caller's, or nothing is mapped there, which is an error.
pub(super) unsafe fn sync(start: *mut u8, len: usize, page: usize) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    let before = start.addr() % page;
    let first_page = start.wrapping_sub(before).cast();
    // SAFETY: the caller's duty (1); msync changes no byte.
    unsafe { rustix::mm::msync(first_page, before.saturating_add(len), MsyncFlags::SYNC) }
        .map_err(reason_of_msync)
}

/// Unmaps a range that was mapped here.
fn unmap(address: *mut core::ffi::c_void, len: usize) -> Result<(), Errno> {
    // SAFETY: the range is our own, and nothing has a reference to it.
    unsafe { rustix::mm::munmap(address, len) }
}

#[cfg(test)]
mod tests;
