//! Forked children, and the locks of their parent.

use super::{ALONE, assert_locked, is_emulated};
use cachemaint::dax::{DaxFile, FaultHandler, Lock, Options};
use cachemaint_test_support::skip::skip;
use std::io::PipeWriter;
use std::os::fd::AsRawFd;
use std::sync::PoisonError;

/// Returns true if the calling process can read the first byte of the file. It may be called after a fork.
fn is_accessible(file: &DaxFile, sink: &PipeWriter) -> bool {
    // SAFETY: the kernel reads the byte, or reports EFAULT.
    unsafe { libc::write(sink.as_raw_fd(), file.as_ptr(0).cast(), 1) == 1 }
}

/// Ends a child that panics. It has no other thread, so that the end of this one would end it with code 0.
struct EndsOnPanic;

impl Drop for EndsOnPanic {
    fn drop(&mut self) {
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(101) };
    }
}

/// Forks a child that does this work and ends with its result. Returns the status that it ends with.
fn status_of(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the C library keeps its allocator usable in the child. The work uses nothing else of other threads.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let _ends = EndsOnPanic;
        let code = work();
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and so is the status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

/// Returns true, and skips the test, where a child inherits the mapping.
fn is_inherited(test: &str) -> bool {
    if is_emulated() {
        skip(test, "user-mode emulation does not pass MADV_DONTFORK on to the kernel");
    }
    is_emulated()
}

/// A forked child would be a second writer, which the lock cannot distinguish from the first.
#[test]
fn a_forked_child_does_not_inherit_the_mapping() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if is_inherited("a_forked_child_does_not_inherit_the_mapping") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().allow_page_granularity();
    let file = options.create_new(directory.path().join("file"), 64 << 10).unwrap();
    let (_source, sink) = std::io::pipe().unwrap();
    assert!(is_accessible(&file, &sink));
    let status = status_of(|| i32::from(is_accessible(&file, &sink)));
    assert_eq!(status, 0, "the child can read the file");
    assert!(is_accessible(&file, &sink));
}

/// The child may map anything where its parent has the file. The handler of the parent is the child's too.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn a_fault_of_a_forked_child_is_not_taken_for_one_of_its_parent() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if is_inherited("a_fault_of_a_forked_child_is_not_taken_for_one_of_its_parent") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().allow_page_granularity();
    let file = options.create_new(directory.path().join("file"), 64 << 10).unwrap();
    let empty = tempfile::tempfile().unwrap();
    FaultHandler::install().unwrap();
    let status = status_of(|| {
        let (place, flags) = (file.as_ptr(0).cast(), libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE);
        // SAFETY: nothing is mapped there in the child, or the call fails.
        let map =
            unsafe { libc::mmap(place, 64 << 10, libc::PROT_READ, flags, empty.as_raw_fd(), 0) };
        if map != place {
            return 77;
        }
        // SAFETY: it is mapped, and the access raises SIGBUS, as the file has no byte.
        i32::from(unsafe { map.cast::<u8>().read_volatile() })
    });
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGBUS, "{status}");
    file.check().unwrap();
}

/// A forked child that executes no program, as one between fork and exec. It has a duplicate of every open
/// descriptor, and ends when this value is dropped.
struct Child {
    id: libc::pid_t,
    /// The child waits until this end of the pipe is closed.
    go_on: Option<PipeWriter>,
}

impl Child {
    #[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    fn fork() -> Self {
        let (wait, go_on) = std::io::pipe().unwrap();
        // SAFETY: the child calls nothing but close, read and _exit.
        let id = unsafe { libc::fork() };
        assert_ne!(id, -1, "{}", std::io::Error::last_os_error());
        if id == 0 {
            // SAFETY: the descriptor is the child's own, and nothing uses it any more.
            unsafe { libc::close(go_on.as_raw_fd()) };
            let mut byte = [0_u8];
            // SAFETY: there is space for the byte.
            unsafe { libc::read(wait.as_raw_fd(), byte.as_mut_ptr().cast(), 1) };
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(0) };
        }
        Self { id, go_on: Some(go_on) }
    }

    fn is_alive(&self) -> bool {
        let mut status = 0;
        // SAFETY: the child is ours, and so is the status.
        unsafe { libc::waitpid(self.id, &raw mut status, libc::WNOHANG) == 0 }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.go_on.take());
        let mut status = 0;
        // SAFETY: the child is ours, and so is the status.
        unsafe { libc::waitpid(self.id, &raw mut status, 0) };
    }
}

/// The lock belongs to the open file (flock(2)), which the child has open until it ends.
#[test]
fn a_dropped_file_is_not_locked_while_a_forked_child_lives() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity();
    for lock in [Lock::Exclusive, Lock::Shared] {
        let file = options.clone().lock(lock).create_new(&path, 64 << 10).unwrap();
        let child = Child::fork();
        assert_locked(&options, &path);
        drop(file);
        let again = options.open(&path).unwrap();
        assert!(child.is_alive(), "created with {lock:?}");
        drop((again, child));

        let file = options.clone().lock(lock).open(&path).unwrap();
        let child = Child::fork();
        assert_locked(&options, &path);
        drop(file);
        let again = options.open(&path).unwrap();
        assert!(child.is_alive(), "opened with {lock:?}");
        drop((again, child));
        std::fs::remove_file(&path).unwrap();
    }
}

/// The child's copy of the value unlocks nothing, and unmaps nothing of the child's at the addresses of the file.
#[test]
fn a_forked_child_that_drops_a_file_leaves_lock_and_addresses_alone() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity();
    let file = options.create_new(&path, 64 << 10).unwrap();
    let is_kept_from_it = !is_emulated();
    let page = rustix::param::page_size();
    let status = status_of(|| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: the address is a wish, so that the mapping replaces nothing.
        let own = unsafe {
            libc::mmap(file.as_ptr(0).cast(), page, libc::PROT_READ, flags, -1, 0).cast::<u8>()
        };
        // SAFETY: the child drops its copy of the file, does not use it after that, and ends by _exit.
        drop(unsafe { std::ptr::read(&raw const file) });
        // SAFETY: it was mapped above.
        i32::from(unsafe { own.read_volatile() } != 0 || is_kept_from_it && own != file.as_ptr(0))
    });
    assert_eq!(status, 0);
    assert_locked(&options, &path);
    drop(file);
    options.open(&path).unwrap();
}
