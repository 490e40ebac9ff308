//! Forked children, and the locks and leases of their parent.

use super::{ALONE, assert_locked, is_emulated};
use crate::skip::skip;
use cachemaint::dax::{self, DaxFile, ErrorKind, Lock, NotSupported, Options};
use cachemaint::medium::Granularity;
use std::io::PipeWriter;
use std::os::fd::AsRawFd;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Returns true if the calling process can read the first byte of the file. It may be called after a fork.
fn is_accessible(file: &DaxFile, sink: &PipeWriter) -> bool {
    // SAFETY: the kernel reads the byte, or reports EFAULT.
    unsafe { libc::write(sink.as_raw_fd(), file.as_ptr(0).cast(), 1) == 1 }
}

/// Returns true if the kernel lets the calling process map a page at an address, which it does if nothing is there.
fn can_map(address: *mut u8) -> bool {
    let (page, flags) = (rustix::param::page_size(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: the address is a wish, so that the mapping replaces nothing.
    let mapped = unsafe { libc::mmap(address.cast(), page, libc::PROT_READ, flags, -1, 0) };
    mapped == address.cast()
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

/// Returns true if a store to the end of the file ends a child by SIGSEGV, and nothing can be mapped there before.
fn is_kept_from_a_child(file: &DaxFile) -> bool {
    let last = file.len() - rustix::param::page_size() as u64;
    let status = status_of(|| {
        if can_map(file.as_ptr(0)) || can_map(file.as_ptr(last)) {
            return 1;
        }
        file.write(last, b"stored");
        2
    });
    libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV
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
    let mut file = options.create_new(directory.path().join("file"), 64 << 10).unwrap();
    let (_source, sink) = std::io::pipe().unwrap();
    assert!(is_accessible(&file, &sink));
    let status = status_of(|| {
        let is_accessible_there = is_accessible(&file, &sink);
        let is_left = is_refused(file.grow(64 << 10)) && is_refused(file.shrink(4096));
        i32::from(is_accessible_there) + 2 * i32::from(!is_left)
    });
    assert_eq!(status, 0, "256: the child can read the file; 512: it can map the file");
    assert!(is_accessible(&file, &sink));
}

fn is_refused(result: Result<(), dax::Error>) -> bool {
    result.is_err_and(|error| {
        matches!(error.kind(), ErrorKind::NotSupported(NotSupported::ForkedChild))
    })
}

/// Another allocation of the child at the addresses of the file would get the stores to it.
#[test]
fn a_forked_child_that_stores_to_a_file_ends() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if is_inherited("a_forked_child_that_stores_to_a_file_ends") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().allow_page_granularity();
    let mut file = options.create_new(directory.path().join("file"), 256 << 10).unwrap();
    drop(options.create_new(directory.path().join("dropped"), 256 << 10).unwrap());
    let other = options.create_new(directory.path().join("other"), 256 << 10).unwrap();
    assert!(is_kept_from_a_child(&file) && is_kept_from_a_child(&other));
    file.grow(1 << 20).unwrap();
    assert!(is_kept_from_a_child(&file), "after it has grown");
    file.shrink(128 << 10).unwrap();
    assert!(is_kept_from_a_child(&file), "after it was shrunk");
    let status = status_of(|| i32::from(!is_kept_from_a_child(&file)));
    assert_eq!(status, 0, "a child of a child");
    file.write(0, b"the parent's");
}

/// By pages the write-back is a call of the system, which does not access the bytes.
#[test]
fn a_forked_child_cannot_persist_a_file_by_pages() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().allow_page_granularity();
    let file = options.create_new(directory.path().join("file"), 64 << 10).unwrap();
    let Granularity::Page(_) = file.granularity() else {
        let test = "a_forked_child_cannot_persist_a_file_by_pages";
        return skip(test, "this file is persisted by cache lines");
    };
    let status = status_of(|| {
        let is_refused = is_refused(file.persist(0..8)) && is_refused(file.deep_persist(0..8));
        i32::from(!is_refused)
    });
    assert_eq!(status, 0);
    file.persist(0..8).unwrap();
}

/// The child can use the addresses after that, and so can its own children.
#[test]
fn a_forked_child_that_drops_a_file_gets_its_addresses() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if is_inherited("a_forked_child_that_drops_a_file_gets_its_addresses") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity().lock(Lock::None);
    let file = options.create_new(&path, 4 << 20).unwrap();
    let (_source, sink) = std::io::pipe().unwrap();
    let status = status_of(|| {
        let first = file.as_ptr(0);
        // SAFETY: the value is used neither in the child after that nor dropped a second time: it ends by _exit.
        drop(unsafe { std::ptr::read(&raw const file) });
        if !can_map(first) {
            return 1;
        }
        let is_readable = || {
            // SAFETY: the kernel reads a byte of the page that was mapped just now.
            unsafe { libc::write(sink.as_raw_fd(), first.cast(), 1) == 1 }
        };
        let is_inherited = status_of(|| i32::from(!is_readable())) == 0;
        let own = options.open(&path).is_ok_and(|own| is_kept_from_a_child(&own));
        2 * i32::from(!is_inherited) + 4 * i32::from(!own)
    });
    let meaning = "1: the addresses are in use; 2: a child of the child lacks its page; 4: its own file is not kept";
    assert_eq!(status, 0, "{meaning}, times 256");
    file.write(0, b"the parent's");
}

/// The list of mappings changes on another thread while this one forks.
#[test]
fn a_child_that_is_forked_beside_openings_has_no_memory_in_place_of_a_file() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let test = "a_child_that_is_forked_beside_openings_has_no_memory_in_place_of_a_file";
    if is_inherited(test) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().allow_page_granularity();
    let file = options.create_new(directory.path().join("file"), 64 << 10).unwrap();
    let path = directory.path().join("other");
    drop(options.create_new(&path, 64 << 10).unwrap());
    let views = options.lock(Lock::None);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let _files = [views.open(&path).unwrap(), views.open(&path).unwrap()];
            }
        });
        let are_kept = (0..50).all(|_| is_kept_from_a_child(&file));
        is_over.store(true, Relaxed);
        assert!(are_kept);
    });
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

/// A view by pages has a second descriptor, which it syncs.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_dropped_view_is_not_locked_while_a_forked_child_lives() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity();
    drop(options.create_new(&path, 64 << 10).unwrap());
    for lock in [Lock::Exclusive, Lock::Shared] {
        let view = options.clone().lock(lock).view(&path).unwrap();
        let child = Child::fork();
        assert_locked(&options, &path);
        drop(view);
        let again = options.open(&path).unwrap();
        assert!(child.is_alive(), "{lock:?}");
        drop((again, child));
    }
}

/// A new length changes neither the lock nor its end.
#[test]
fn a_resized_file_is_not_locked_after_its_drop_while_a_forked_child_lives() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity();
    let mut file = options.create_new(&path, 64 << 10).unwrap();
    let child = Child::fork();
    file.grow(128 << 10).unwrap();
    assert_locked(&options, &path);
    file.shrink(4096).unwrap();
    assert_locked(&options, &path);
    drop(file);
    let again = options.open(&path).unwrap();
    assert!(child.is_alive());
    drop((again, child));
}

/// The leases belong to the open file as well (fcntl(2), "Open file description locks").
#[test]
fn leases_end_with_their_file_while_a_forked_child_lives() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity().lock(Lock::None);
    let writer = options.create_new(&path, 64 << 10).unwrap();
    let mut reader = options.open(&path).unwrap();
    reader.view().lease(0..100).unwrap();
    reader.view().lease(60_000..64 << 10).unwrap();
    let child = Child::fork();
    // Bytes that are not mapped any more can still be leased.
    reader.shrink(4096).unwrap();
    assert_eq!(writer.leased(4096..64 << 10).unwrap(), Some(60_000..64 << 10));
    drop(reader);
    assert_eq!(writer.leased(0..64 << 10).unwrap(), None);
    assert!(child.is_alive());
}

#[test]
#[cfg(target_pointer_width = "64")]
fn leases_end_with_their_view_while_a_forked_child_lives() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity().lock(Lock::None);
    let writer = options.create_new(&path, 64 << 10).unwrap();
    let reader = options.view(&path).unwrap();
    reader.lease(4096..5000).unwrap();
    let child = Child::fork();
    assert_eq!(writer.leased(0..64 << 10).unwrap(), Some(4096..5000));
    drop(reader);
    assert_eq!(writer.leased(0..64 << 10).unwrap(), None);
    assert!(child.is_alive());
}

/// A release in the child would be one for the parent, which goes on to use the file.
#[test]
fn a_forked_child_that_drops_a_file_leaves_lock_and_leases_to_its_parent() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity();
    let file = options.create_new(&path, 64 << 10).unwrap();
    file.view().lease(4096..5000).unwrap();
    let status = status_of(|| {
        // SAFETY: the child drops its copy of the file, does not use it after that, and ends by _exit.
        drop(unsafe { std::ptr::read(&raw const file) });
        0
    });
    assert_eq!(status, 0);
    assert_locked(&options, &path);
    let other = options.lock(Lock::None).open(&path).unwrap();
    assert_eq!(other.leased(0..64 << 10).unwrap(), Some(4096..5000));
    drop(file);
    assert_eq!(other.leased(0..64 << 10).unwrap(), None);
}

/// A lease of the child would be one of its parent's open file, which only the parent could end.
#[test]
fn a_forked_child_cannot_change_the_leases_of_its_parent() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity().lock(Lock::None);
    let writer = options.create_new(&path, 64 << 10).unwrap();
    let file = options.open(&path).unwrap();
    file.view().lease(4096..5000).unwrap();
    let status = status_of(|| {
        let is_refused = file.view().lease(0..100).is_err_and(|error| {
            matches!(error.kind(), ErrorKind::NotSupported(NotSupported::ForkedChild))
        });
        let is_released = file.view().release(0..64 << 10).is_ok();
        i32::from(!is_refused) + 2 * i32::from(!is_released)
    });
    assert_eq!(status, 0, "256: a lease was granted; 512: a release failed");
    assert_eq!(writer.leased(0..64 << 10).unwrap(), Some(4096..5000));
    drop(file);
    assert_eq!(writer.leased(0..64 << 10).unwrap(), None);
}
