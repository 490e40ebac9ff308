//! The process, distinguished from its forked children.
//!
//! A process ID does not suffice: in another PID namespace a child can have its parent's ID. Each process therefore has
//! a word that its children find cleared. The kernel clears the page of the word (`MADV_WIPEONFORK`, madvise(2), Linux
//! 4.14), even in a child made by the bare system call. Where the kernel cannot, a handler of `fork` clears the word.
//!
//! # Why this file is unsafe
//! It maps the page, and installs the handler.

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// A process. A forked child is a different one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(usize);

/// The last number given out. A child inherits a copy, so its own number is greater than that of every process from
/// which it inherited values.
static LAST: AtomicUsize = AtomicUsize::new(0);

impl Process {
    /// Returns this process.
    #[must_use]
    pub fn this() -> Self {
        let word = own::word();
        let number = match word.load(Relaxed) {
            0 => {
                let new = LAST.fetch_add(1, Relaxed) + 1;
                word.compare_exchange(0, new, Relaxed, Relaxed).map_or_else(|own| own, |_| new)
            }
            own => own,
        };
        Self(number)
    }

    /// Returns the process with this [number](Self::number).
    #[cfg(all(
        target_os = "linux",
        feature = "dax",
        target_has_atomic = "64",
        not(cachemaint_loom)
    ))]
    pub(crate) const fn of(number: usize) -> Self {
        Self(number)
    }

    #[cfg(all(
        target_os = "linux",
        feature = "dax",
        target_has_atomic = "64",
        not(cachemaint_loom)
    ))]
    pub(crate) const fn number(self) -> usize {
        self.0
    }

    /// Returns true in this process, and false in its forked children. A signal handler may call it.
    #[must_use]
    pub fn is_this(self) -> bool {
        own::word().load(Relaxed) == self.0
    }
}

#[cfg(all(unix, not(miri)))]
mod own {
    use super::AtomicUsize;
    use core::ptr::{NonNull, null_mut};
    use core::sync::atomic::AtomicPtr;
    use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

    /// The word to use if no page can be mapped.
    static WITHOUT_PAGE: AtomicUsize = AtomicUsize::new(0);
    static WORD: AtomicPtr<AtomicUsize> = AtomicPtr::new(null_mut());

    /// Returns the word of this process, which is 0 in a new one.
    #[inline]
    pub(super) fn word() -> &'static AtomicUsize {
        let known = WORD.load(Acquire);
        // SAFETY: it is null or `WITHOUT_PAGE`, or in a page that is never unmapped.
        unsafe { known.as_ref() }.unwrap_or_else(first)
    }

    #[cold]
    fn first() -> &'static AtomicUsize {
        let page = map();
        let word = page.map_or(&raw const WITHOUT_PAGE, |page| page.as_ptr().cast_const());
        // SAFETY: the handler may run in any child: it stores to an atomic.
        let _refused = unsafe { pthread_atfork(None, None, Some(clear)) };
        match WORD.compare_exchange(null_mut(), word.cast_mut(), AcqRel, Acquire) {
            // SAFETY: as in `word`.
            Ok(_) => unsafe { &*word },
            Err(other) => {
                if let Some(page) = page {
                    // SAFETY: it was mapped by this call, and no other code knows of it.
                    unsafe { libc::munmap(page.as_ptr().cast(), size_of::<AtomicUsize>()) };
                }
                // SAFETY: as in `word`.
                unsafe { &*other }
            }
        }
    }

    /// Maps a page of zeros. A child finds it cleared if the kernel can do that.
    fn map() -> Option<NonNull<AtomicUsize>> {
        let (rights, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: a new mapping at an address that the kernel chooses changes nothing that exists.
        let page =
            unsafe { libc::mmap(null_mut(), size_of::<AtomicUsize>(), rights, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return None;
        }
        #[cfg(target_os = "linux")]
        // SAFETY: no other code knows of the page; where this is refused, the handler does it.
        unsafe {
            libc::madvise(page, size_of::<AtomicUsize>(), libc::MADV_WIPEONFORK)
        };
        NonNull::new(page.cast())
    }

    unsafe extern "C" {
        /// POSIX.1, `pthread_atfork`.
        fn pthread_atfork(
            prepare: Option<extern "C" fn()>,
            parent: Option<extern "C" fn()>,
            child: Option<extern "C" fn()>,
        ) -> libc::c_int;
    }

    extern "C" fn clear() {
        word().store(0, Relaxed);
    }
}

/// Processes do not fork on this system.
#[cfg(not(all(unix, not(miri))))]
mod own {
    use super::AtomicUsize;

    pub(super) fn word() -> &'static AtomicUsize {
        static WORD: AtomicUsize = AtomicUsize::new(0);
        &WORD
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(miri)))]
mod tests {
    use super::Process;

    /// Returns true if `holds` returns true in a child made by `fork`. The child makes no other system call, takes no
    /// lock and allocates nothing.
    fn in_child(fork: impl FnOnce() -> libc::pid_t, holds: impl FnOnce() -> bool) -> bool {
        let child = fork();
        if child == 0 {
            let code = i32::from(!holds());
            // SAFETY: ends the child, without running anything of its parent's.
            unsafe { libc::_exit(code) };
        }
        let mut status = -1;
        // SAFETY: collects the child.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        status == 0
    }

    fn fork() -> libc::pid_t {
        // SAFETY: the child makes system calls only, and leaves by `_exit`.
        unsafe { libc::fork() }
    }

    /// Makes a child by the bare system call: no handler of `fork` runs (`kernel/fork.c`).
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    fn clone() -> libc::pid_t {
        // SAFETY: as in `fork`; without flags and with the parent's stack `clone` is `fork`.
        let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        child.try_into().unwrap()
    }

    #[test]
    fn a_child_is_another_process_than_its_parent_and_its_own_child() {
        let parent = Process::this();
        assert!(parent.is_this() && Process::this() == parent);
        let is_another = || !parent.is_this() && Process::this() != parent && !parent.is_this();
        assert!(in_child(fork, is_another));
        let has_another_child = || {
            let child = Process::this();
            child.is_this() && in_child(fork, || !child.is_this() && !parent.is_this())
        };
        assert!(in_child(fork, has_another_child));
        assert!(parent.is_this());
    }

    /// `MADV_WIPEONFORK` needs Linux 4.14; an emulator of programs may lack it.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    #[test]
    fn a_child_that_runs_no_handler_is_another_process() {
        let parent = Process::this();
        assert!(in_child(clone, || !parent.is_this() && Process::this() != parent));
    }
}
