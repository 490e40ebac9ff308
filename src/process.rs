//! The process, distinguished from its forked children.
//!
//! A process number does not distinguish them. A child in a new PID namespace has number 1 there, as its parent has in the
//! namespace of a container.
//!
//! # Why this file is unsafe
//! It maps a page that the kernel zeroes in each child.

#[cfg(all(feature = "dax", target_os = "linux", not(miri)))]
use linux::generation;

/// A process among its parents and their other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    /// A number that is greater than that of each process that this one was forked from.
    Generation(u64),
    /// The process number, before Linux 4.14, without the feature `dax` and on other systems.
    Number(u32),
}

impl Process {
    /// Returns a number that differs from those of its forked children.
    #[cfg(all(
        feature = "dax",
        target_os = "linux",
        target_has_atomic = "64",
        not(cachemaint_loom)
    ))]
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Generation(number) => number,
            Self::Number(number) => number.into(),
        }
    }

    /// Returns this process. It may be called in a signal handler, if it was called before.
    pub(crate) fn this() -> Self {
        generation().map_or_else(|| Self::Number(number()), Self::Generation)
    }
}

/// Returns the process number, or 0 on a system without processes, where the standard library panics.
fn number() -> u32 {
    if cfg!(any(unix, windows)) { std::process::id() } else { 0 }
}

#[cfg(not(all(feature = "dax", target_os = "linux", not(miri))))]
const fn generation() -> Option<u64> {
    None
}

#[cfg(all(feature = "dax", target_os = "linux", not(miri)))]
#[expect(unsafe_code, reason = "maps a page, and reads a number in it")]
mod linux {
    use core::ffi::c_void;
    use core::ptr::null_mut;
    use core::sync::atomic::Ordering::{AcqRel, Acquire};
    use core::sync::atomic::{AtomicPtr, AtomicU64};
    use rustix::io::Errno;
    use rustix::mm::{Advice, MapFlags, ProtFlags};

    /// A number that stands for no advice.
    const NO_ADVICE: libc::c_int = -1;
    /// The size of a page, or a part of one.
    const SIZE: usize = 4096;

    /// The mark of this process, which is zero in a new child; null before the first use, and [`NONE`] if the kernel does not
    /// wipe pages.
    static MARK: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());
    static NONE: AtomicU64 = AtomicU64::new(0);
    /// A number that is not less than any mark of this process and of those that it was forked from.
    static LAST: AtomicU64 = AtomicU64::new(0);

    /// Returns the generation of this process.
    pub(super) fn generation() -> Option<u64> {
        let mark = mark()?;
        let marked = mark.load(Acquire);
        if marked != 0 {
            return Some(marked);
        }
        // First, since a child that is forked once the mark is made must not take the same number.
        let next = LAST.fetch_add(1, AcqRel) + 1;
        Some(mark.compare_exchange(0, next, AcqRel, Acquire).map_or_else(|other| other, |_| next))
    }

    fn mark() -> Option<&'static AtomicU64> {
        let mut found = MARK.load(Acquire);
        if found.is_null() {
            found = make();
        }
        // SAFETY: it is the static, or the beginning of a page of zeros that is never unmapped.
        let mark = unsafe { found.as_ref() };
        mark.filter(|mark| !core::ptr::eq(*mark, &raw const NONE))
    }

    /// Makes the mark, unless another thread has. Failure stays, so that a process is the same at each call.
    #[cold]
    fn make() -> *mut AtomicU64 {
        let none = (&raw const NONE).cast_mut();
        let new = page().unwrap_or(none);
        match MARK.compare_exchange(null_mut(), new, AcqRel, Acquire) {
            Ok(_null) => new,
            Err(other) => {
                if new != none {
                    // SAFETY: (1) it was mapped above, and nothing else knows of it.
                    unsafe { unmap(new.cast()) };
                }
                other
            }
        }
    }

    /// Maps a page that the kernel replaces by zeros in each child (madvise(2), `MADV_WIPEONFORK`). An emulator that accepts any
    /// advice follows none.
    fn page() -> Result<*mut AtomicU64, Errno> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address of the kernel's choice belongs to this code.
        let page = unsafe { rustix::mm::mmap_anonymous(null_mut(), SIZE, access, flags) }?;
        // SAFETY: the range is the mapping, which has zeros already.
        let advised = unsafe { rustix::mm::madvise(page, SIZE, Advice::LinuxWipeOnFork) };
        // SAFETY: the range is the mapping, and the number stands for no advice.
        let is_refused = unsafe { libc::madvise(page, SIZE, NO_ADVICE) } != 0;
        let advised = if is_refused { advised } else { Err(Errno::NOSYS) };
        if advised.is_err() {
            // SAFETY: (1) it was mapped above, and nothing else knows of it.
            unsafe { unmap(page) };
        }
        advised.map(|()| page.cast())
    }

    /// # Safety
    /// 1. It is a page of [`page`], which nothing uses.
    unsafe fn unmap(page: *mut c_void) {
        // SAFETY: (1).
        let unmapped = unsafe { rustix::mm::munmap(page, SIZE) };
        debug_assert_eq!(unmapped, Ok(()), "a mapping can be unmapped");
    }
}

#[cfg(all(test, feature = "dax", target_os = "linux", not(any(miri, cachemaint_loom))))]
#[expect(unsafe_code, reason = "forks")]
mod tests {
    use super::Process;

    /// Forks a child that ends with 1 if the work returns true there.
    fn is_so_in_a_child(work: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child only loads and stores atomics, forks, waits and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the process ends at once.
            unsafe { libc::_exit(i32::from(work())) };
        }
        ended_with(child) == 1
    }

    #[test]
    fn each_forked_child_is_another_process_than_those_before() {
        let parent = Process::this();
        assert_eq!(Process::this(), parent);
        assert!(is_so_in_a_child(|| {
            let child = Process::this();
            let is_so_below = is_so_in_a_child(|| ![parent, child].contains(&Process::this()));
            child != parent && child == Process::this() && is_so_below
        }));
    }

    fn ended_with(child: libc::pid_t) -> i32 {
        let mut status = 0;
        // SAFETY: the status is a whole integer.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(waited, child);
        assert!(libc::WIFEXITED(status), "{status:#x}");
        libc::WEXITSTATUS(status)
    }
}
