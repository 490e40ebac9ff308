//! The places of the mappings, which a forked child fills with pages without access.
//!
//! A child does not inherit the mappings (madvise(2), `MADV_DONTFORK`). An allocation of the child could get to their
//! addresses, and the child's copy of a file would read and write it. So `fork` maps pages without access there before it
//! returns in the child, and an access ends the child by SIGSEGV.
//!
//! # Why this file is unsafe
//! It maps and unmaps these pages, and follows the links of the list of places.
//!
//! # What may run in the handler
//! The child has one thread, and another thread of the parent may have held any lock. So the handler does nothing but load
//! and store atomics and make system calls: `mmap`, `munmap` and `msync`. On Linux `mmap` and `munmap` are the system calls
//! alone (glibc `sysdeps/unix/sysv/linux/mmap64.c`; musl `src/mman/munmap.c` waits only for threads that the child does not
//! have, which its `fork` forgets).
//!
//! # The list
//! A fork takes no lock: the forking thread may hold one of the program or of its allocator, for which a thread that changes
//! the list could wait. Entries are used again and never released. An entry is published by one store when it is whole. It
//! is in the list before the mapping is handed out, and until it is unmapped. So it is there for each file that the forking
//! thread can reach, whatever other threads do meanwhile.

use crate::process::Process;
use alloc::boxed::Box;
use core::ffi::c_void;
use core::iter;
use core::ptr::{self, null_mut};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

/// The entry has no place.
const FREE: u32 = 0;
/// A thread is about to fill the entry.
const CLAIMED: u32 = 1;
/// A mapping is at the place, or was in a parent of this process.
const MAPPED: u32 = 2;
/// Pages without access are at the place, and belong to this process.
const COVERED: u32 = 3;

/// The newest entry; null before the first mapping.
static NEWEST: AtomicPtr<Entry> = AtomicPtr::new(null_mut());

#[derive(Debug)]
struct Entry {
    state: AtomicU32,
    base: AtomicPtr<c_void>,
    len: AtomicUsize,
    /// The entry that was added before; null in the first one.
    older: AtomicPtr<Entry>,
}

impl Entry {
    /// Adds an entry for this thread to fill.
    #[cold]
    fn add() -> &'static Self {
        let entry: &'static Self = Box::leak(Box::new(Self {
            state: AtomicU32::new(CLAIMED),
            base: AtomicPtr::new(null_mut()),
            len: AtomicUsize::new(0),
            older: AtomicPtr::new(null_mut()),
        }));
        let (older, new) = (&entry.older, ptr::from_ref(entry).cast_mut());
        while let Err(newest) = NEWEST.compare_exchange(older.load(Relaxed), new, AcqRel, Acquire) {
            older.store(newest, Relaxed);
        }
        entry
    }

    fn claim(&self) -> bool {
        self.state.load(Relaxed) == FREE
            && self.state.compare_exchange(FREE, CLAIMED, Acquire, Relaxed).is_ok()
    }

    /// Covers the place of a mapping that this process has not inherited.
    fn cover(&self) {
        if self.state.load(Acquire) == MAPPED
            && cover(self.base.load(Relaxed), self.len.load(Relaxed))
        {
            self.state.store(COVERED, Relaxed);
        }
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    iter::successors(follow(&NEWEST), |entry| follow(&entry.older))
}

fn follow(link: &AtomicPtr<Entry>) -> Option<&'static Entry> {
    // SAFETY: it is null or an entry, which was whole before it was in the list and is never released.
    unsafe { link.load(Acquire).as_ref() }
}

/// The place of a mapping of a process.
#[derive(Debug)]
pub(super) struct Place {
    entry: &'static Entry,
    /// The process that mapped it.
    owner: Process,
}

impl Place {
    /// Keeps the place of a new mapping from the allocations of children, after [`register`].
    pub(super) fn keep(base: *mut c_void, len: usize) -> Self {
        let entry = entries().find(|entry| entry.claim()).unwrap_or_else(Entry::add);
        entry.base.store(base, Relaxed);
        entry.len.store(len, Relaxed);
        entry.state.store(MAPPED, Release);
        Self { entry, owner: Process::this() }
    }

    /// Takes the place from the list. Returns true if its pages belong to this process, which unmaps them. In a child other
    /// memory can be there if no handler ran at the fork.
    pub(super) fn leave(self) -> bool {
        self.entry.state.swap(FREE, Release) == COVERED || self.owner == Process::this()
    }
}

/// Registers the handler of forks. Threads that are first together register it twice, and none waits for another, which a
/// child would not have. The second call of the handler finds everything covered.
pub(super) fn register() -> Result<(), Errno> {
    static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
    if IS_REGISTERED.load(Acquire) {
        return Ok(());
    }
    // SAFETY: the head of this file lists what the handler does, which may be done in a child of a process with threads.
    let errno = unsafe { libc::pthread_atfork(None, None, Some(on_fork)) };
    if errno != 0 {
        return Err(Errno::from_raw_os_error(errno));
    }
    IS_REGISTERED.store(true, Release);
    Ok(())
}

/// Runs in a forked child.
unsafe extern "C" fn on_fork() {
    entries().for_each(Entry::cover);
}

/// Maps pages without access where nothing is mapped. Returns true if they are the whole range.
///
/// Zeros of a guarded access are inherited, and stay. So does the mapping if the kernel or an emulator does not follow the
/// advice, and memory that an earlier handler has mapped.
fn cover(base: *mut c_void, len: usize) -> bool {
    let mapped = map_without_access(base, len);
    let half = (len / 2).next_multiple_of(rustix::param::page_size());
    if mapped == Err(Errno::EXIST) && half < len && has_hole(base, len) {
        cover(base, half);
        cover(base.wrapping_byte_add(half), len - half);
    }
    mapped.is_ok()
}

fn map_without_access(base: *mut c_void, len: usize) -> Result<(), Errno> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    // SAFETY: with this flag it replaces nothing.
    let mapped = unsafe { rustix::mm::mmap_anonymous(base, len, ProtFlags::empty(), flags) }?;
    if mapped == base {
        return Ok(());
    }
    // Before Linux 4.17 the kernel does not know the flag, and takes the address for a wish.
    // SAFETY: the pages were mapped just now, and nothing knows of them.
    unsafe { rustix::mm::munmap(mapped, len) }?;
    Err(Errno::EXIST)
}

/// Returns true if a page of the range is not mapped. The system is called directly: the C library's `msync` is a
/// cancellation point.
fn has_hole(base: *mut c_void, len: usize) -> bool {
    // SAFETY: it changes no byte, and starts no write-back (msync(2), `MS_ASYNC`).
    unsafe { libc::syscall(libc::SYS_msync, base, len, libc::MS_ASYNC) != 0 }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::{cover, has_hole, map_without_access};
    use crate::skip::skip;
    use core::ptr::null_mut;
    use rustix::io::Errno;
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

    /// Zeros of a guarded access are in the place of a mapping, for example. The test is a child, which has no thread that
    /// could map something there.
    #[test]
    fn a_place_is_covered_beside_inherited_pages() {
        // A child that panics ends with 0, as it has no other thread.
        const RIGHT: i32 = 4;
        const KEPT: i32 = 3;
        // SAFETY: the child makes system calls alone.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = match beside_inherited_pages() {
                Ok(true) => RIGHT,
                Ok(false) => 1,
                Err(Errno::OPNOTSUPP) => KEPT,
                Err(_) => 2,
            };
            // SAFETY: the process ends at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the status is a whole integer.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        if status == KEPT << 8 {
            let name = "a_place_is_covered_beside_inherited_pages";
            return skip(name, "an emulator keeps the addresses that its programs unmap");
        }
        assert_eq!(status, RIGHT << 8, "256: a page is free, or was replaced; 512: a call failed");
    }

    /// Returns true if of 11 pages that are free but for the fifth and sixth all are mapped after a call, and these two are
    /// as before.
    fn beside_inherited_pages() -> Result<bool, Errno> {
        let page = rustix::param::page_size();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice belongs to this code.
        let base = unsafe { mmap_anonymous(null_mut(), 11 * page, access, MapFlags::PRIVATE) }?;
        let at = |number: usize| base.wrapping_byte_add(number * page);
        // SAFETY: the byte is in the mapping.
        unsafe { at(5).cast::<u8>().write(5) };
        // SAFETY: nothing uses these pages.
        unsafe { munmap(base, 4 * page) }?;
        // SAFETY: nothing uses these pages.
        unsafe { munmap(at(6), 5 * page) }?;
        if !has_hole(base, 4 * page) {
            return Err(Errno::OPNOTSUPP);
        }
        let was_whole = cover(base, 11 * page);
        let is_free = (0..11).any(|number| map_without_access(at(number), page).is_ok());
        // SAFETY: the byte is in the page that is still mapped.
        let byte = unsafe { at(5).cast::<u8>().read() };
        Ok(!was_whole && !is_free && !has_hole(base, 11 * page) && byte == 5)
    }
}
