//! The mapping itself: the one place where memory is mapped, unmapped and accessed.
//!
//! Other threads and processes may write the bytes at any time, so nothing here makes a reference to
//! them but to atomic words, which is how all of them are accessed.
//!
//! # Why this file is unsafe
//! It calls `mmap` and `munmap`, and dereferences addresses of the mapping, which stays in place
//! until the value is dropped. A file that shrinks under its mapping, or a page with a media error,
//! ends the process by SIGBUS; that is no undefined behaviour, and the documentation of
//! [`DaxFile`](super::DaxFile) says so.

use crate::medium::words::{self, AtomicU64, WORD};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags};
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
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// Who mapped it: it is not inherited by forked children.
    owner: u32,
}

// SAFETY: the address is that of memory which belongs to the value, whichever thread has it.
unsafe impl Send for Mapping {}
// SAFETY: all access through a shared reference is atomic.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of the file from `offset`, which is a multiple of the page size.
    pub(super) fn new(
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        kind: Kind,
    ) -> Result<Self, Errno> {
        let base = if len < HUGE {
            map(null_mut(), len, kind.flags(), file, offset)?
        } else {
            map_aligned(file, offset, len, kind)?
        };
        let mapping = Self { base, len, owner: process::id() };
        // A forked child would be a second writer, with no lock of its own. Refused only where the
        // kernel does not know the advice; then the documentation's warning is all there is.
        // SAFETY: the range is the mapping, and nothing that this process can see changes.
        let advised =
            unsafe { rustix::mm::madvise(base.as_ptr().cast(), len, Advice::LinuxDontFork) };
        match advised {
            Ok(()) | Err(Errno::INVAL) => Ok(mapping),
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

    /// Its first byte.
    pub(super) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Its length in bytes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The word at a checked offset.
    ///
    /// # Panics
    /// If the offset is no multiple of 8 or the word is out of range.
    #[inline]
    #[track_caller]
    pub(super) fn word(&self, at: u64) -> &AtomicU64 {
        let at = self.checked(at, WORD as u64).start;
        assert!(at.is_multiple_of(WORD), "offset {at} is no multiple of {WORD}");
        self.word_at(at)
    }

    /// Copies bytes out of the mapping.
    ///
    /// # Panics
    /// If they are out of range.
    #[track_caller]
    pub(super) fn read(&self, at: u64, into: &mut [u8]) {
        let at = self.checked(at, into.len() as u64).start;
        words::copy_out(|place| self.word_at(place * WORD), at, into);
    }

    /// Copies bytes into the mapping, by ordinary stores in ascending order.
    ///
    /// # Panics
    /// If they are out of range.
    #[track_caller]
    pub(super) fn write(&self, at: u64, from: &[u8]) {
        let at = self.checked(at, from.len() as u64).start;
        words::copy_in(|place| self.word_at(place * WORD), at, from);
    }

    /// Has the operating system write back the pages that a range touches, and waits.
    ///
    /// # Panics
    /// If it is out of range.
    #[track_caller]
    pub(super) fn sync(&self, range: &Range<u64>, page: usize) -> Result<(), Errno> {
        let range = self.checked_range(range);
        if range.is_empty() {
            return Ok(());
        }
        let first_page = range.start - range.start % page;
        let address = self.base.as_ptr().wrapping_add(first_page).cast();
        // SAFETY: the range is in the mapping; msync changes no byte of it.
        unsafe { rustix::mm::msync(address, range.end - first_page, MsyncFlags::SYNC) }
            .map_err(reason_of_msync)
    }

    /// The range as one of the mapping.
    ///
    /// # Panics
    /// If it ends before it starts, or is out of range.
    #[inline]
    #[track_caller]
    pub(super) fn checked_range(&self, range: &Range<u64>) -> Range<usize> {
        assert!(range.start <= range.end, "the range {range:?} ends before it starts");
        self.checked(range.start, range.end - range.start)
    }

    /// `len` bytes from `at` as a range of the mapping.
    ///
    /// # Panics
    /// If they are out of range.
    #[inline]
    #[track_caller]
    #[expect(clippy::cast_possible_truncation, reason = "what is mapped fits its address type")]
    pub(super) fn checked(&self, at: u64, len: u64) -> Range<usize> {
        match at.checked_add(len) {
            Some(end) if end <= self.len as u64 => at as usize..end as usize,
            _ => out_of_range(at, len, self.len),
        }
    }

    /// The aligned word that holds a byte of the mapping. The last one can reach beyond the end, into
    /// the rest of the last page, which is mapped too.
    #[inline(always)]
    fn word_at(&self, at: usize) -> &AtomicU64 {
        // SAFETY: the word is in a page of the mapping, which outlives the reference, and aligned, as
        // the mapping begins at a page; every other access to it here is atomic and of its size.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().wrapping_add(at).cast()) }
    }
}

impl Drop for Mapping {
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
fn reason_of_msync(error: Errno) -> Errno {
    if error.raw_os_error() != -1 {
        return error;
    }
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(error)
}

/// Gives back a part of a reservation.
fn unmap(address: *mut core::ffi::c_void, len: usize) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    // SAFETY: the range is a part of our own reservation that nothing was mapped over.
    unsafe { rustix::mm::munmap(address, len) }
}

#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "offsets are checked above a medium; out of range is a bug there")]
fn out_of_range(at: u64, len: u64, size: usize) -> ! {
    panic!("{len} bytes at offset {at} are out of range: the mapping has {size} bytes")
}
