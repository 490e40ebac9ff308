//! Mappings on Linux: made with `mmap`, written back with `msync`, given back with `munmap`.
//!
//! # Why this file is unsafe
//! It makes these calls. The bytes are accessed elsewhere
//! ([`Mapping`](crate::dax::mapping::Mapping)).

use crate::dax::mapping::{Mapping, Pages};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::process;

/// What a huge page covers on the architectures that map DAX with them, in bytes. A mapping that is
/// congruent to its file offset modulo this size can use them.
const HUGE: usize = 2 << 20;

/// How stores reach the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `MAP_SYNC`: the blocks under a page are durable before it can be written, so that writing
    /// lines back is enough.
    Synchronous,
    /// `MAP_SHARED`: the operating system must be asked.
    Shared,
}

/// A shared, writable mapping of a part of a file.
#[derive(Debug)]
struct Mapped {
    base: NonNull<u8>,
    len: usize,
    page: usize,
    /// Who mapped it: it is not inherited by forked children.
    owner: u32,
}

// SAFETY: the address is that of memory which belongs to the value, whichever thread has it.
unsafe impl Send for Mapped {}
// SAFETY: nothing is accessed through it.
unsafe impl Sync for Mapped {}

/// Maps `len` bytes of the file from `offset`, which is a multiple of the page size.
pub(super) fn new(
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
    kind: Kind,
) -> Result<Mapping, Errno> {
    let base = if len < HUGE {
        map(null_mut(), len, kind.flags(), file, offset)?
    } else {
        map_aligned(file, offset, len, kind)?
    };
    let mapped = Mapped { base, len, page: rustix::param::page_size(), owner: process::id() };
    // A forked child would be a second writer, with no lock of its own. Refused only where the
    // kernel does not know the advice; then the documentation's warning is all there is.
    // SAFETY: the range is the mapping, and nothing that this process can see changes.
    let advised = unsafe { rustix::mm::madvise(base.as_ptr().cast(), len, Advice::LinuxDontFork) };
    match advised {
        // SAFETY: (1) it was mapped so just now, by whole pages, and is unmapped when `mapped` is
        // dropped; (2) mappings begin at a page; (3) nobody else knows of it.
        Ok(()) | Err(Errno::INVAL) => Ok(unsafe { Mapping::new(base, len, mapped) }),
        Err(errno) => Err(errno),
    }
}

/// Whether the kernel grants this kind of mapping of the file. Nothing is accessed.
pub(super) fn probe(file: BorrowedFd<'_>, kind: Kind, page: usize) -> Result<(), Errno> {
    // SAFETY: a new mapping at an address that the kernel chooses changes nothing that exists.
    let base =
        unsafe { rustix::mm::mmap(null_mut(), page, ProtFlags::READ, kind.flags(), file, 0) }?;
    // SAFETY: it was mapped just now and nobody else knows of it.
    unsafe { rustix::mm::munmap(base, page) }
}

impl Pages for Mapped {
    fn writeback(&self, range: Range<usize>) -> io::Result<()> {
        let first_page = range.start - range.start % self.page;
        let address = self.base.as_ptr().wrapping_add(first_page).cast();
        // SAFETY: the range is in the mapping; msync changes no byte of it.
        unsafe { rustix::mm::msync(address, range.end - first_page, MsyncFlags::SYNC) }
            .map_err(reason_of_msync)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // A forked child has a copy of the value and not of the mapping: something else may be there.
        if self.owner == process::id() {
            // SAFETY: the mapping belongs to the value, and no borrow of it is left.
            let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
            debug_assert_eq!(unmapped, Ok(()), "a mapping can be unmapped");
        }
    }
}

impl Kind {
    /// `MAP_SHARED` alone would ignore `MAP_SYNC` silently.
    const fn flags(self) -> MapFlags {
        match self {
            Self::Synchronous => MapFlags::SHARED_VALIDATE.union(MapFlags::SYNC),
            Self::Shared => MapFlags::SHARED,
        }
    }
}

fn map(
    address: *mut core::ffi::c_void,
    len: usize,
    flags: MapFlags,
    file: BorrowedFd<'_>,
    offset: u64,
) -> Result<NonNull<u8>, Errno> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the address is null, so that the kernel chooses a free place, or that of a reservation
    // of our own which nothing else uses.
    let base = unsafe { rustix::mm::mmap(address, len, protection, flags, file, offset) }?;
    NonNull::new(base.cast()).ok_or(Errno::NOMEM)
}

/// Reserves enough addresses to find a place in them that is congruent to the offset, maps the file
/// there, and gives the rest back.
fn map_aligned(
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
    kind: Kind,
) -> Result<NonNull<u8>, Errno> {
    let page = rustix::param::page_size();
    let mapped = len.checked_next_multiple_of(page).ok_or(Errno::NOMEM)?;
    let reserved = mapped.checked_add(HUGE).ok_or(Errno::NOMEM)?;
    // SAFETY: a new mapping at an address that the kernel chooses changes nothing that exists.
    let reservation = unsafe {
        rustix::mm::mmap_anonymous(
            null_mut(),
            reserved,
            ProtFlags::empty(),
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }?;
    let reserved_from = reservation.addr() as u64;
    let gap = usize::try_from(offset.wrapping_sub(reserved_from) % HUGE as u64).unwrap_or_default();
    let place = reservation.wrapping_byte_add(gap);
    let trim = || {
        unmap(reservation, gap)?;
        unmap(place.wrapping_byte_add(mapped), HUGE - gap)
    };
    match map(place, len, kind.flags() | MapFlags::FIXED, file, offset) {
        Ok(base) => match trim() {
            Ok(()) => Ok(base),
            Err(errno) => {
                unmap(place, mapped)?;
                Err(errno)
            }
        },
        Err(errno) => {
            // What was to be replaced may be gone already, and another thread's mapping there.
            trim()?;
            Err(errno)
        }
    }
}

/// Why `msync` failed. Where rustix calls the C library (powerpc64, s390x and others), version 1.1
/// takes the return value, -1, for the error, which the C library leaves in `errno`.
#[cold]
fn reason_of_msync(error: Errno) -> io::Error {
    if error.raw_os_error() == -1 { io::Error::last_os_error() } else { error.into() }
}

/// Gives back a part of a reservation.
fn unmap(address: *mut core::ffi::c_void, len: usize) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    // SAFETY: the range is a part of our own reservation that nothing was mapped over.
    unsafe { rustix::mm::munmap(address, len) }
}
