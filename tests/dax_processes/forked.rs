//! Forked children, and the locks and leases of their parent.

use super::{ALONE, assert_locked, is_emulated};
use crate::skip::skip;
use cachemaint::dax::{self, DaxFile, ErrorKind, Lock, NotSupported, Options};
use std::io::PipeWriter;
use std::os::fd::AsRawFd;
use std::sync::PoisonError;

/// Returns true if the first page of the file is mapped in the calling process: `msync` of a page that is not mapped
/// fails with ENOMEM (POSIX). It may be called after a fork.
fn is_mapped(file: &DaxFile) -> bool {
    let page = rustix::param::page_size();
    // SAFETY: msync accesses no byte of the range.
    unsafe { libc::msync(file.as_ptr(0).cast(), page, libc::MS_ASYNC) == 0 }
}

/// A forked child would be a second writer, which the lock cannot distinguish from the first.
#[test]
fn a_forked_child_does_not_inherit_the_mapping() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if is_emulated() {
        skip(
            "a_forked_child_does_not_inherit_the_mapping",
            "user-mode emulation does not pass MADV_DONTFORK on to the kernel",
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().allow_page_granularity();
    let mut file = options.create_new(directory.path().join("file"), 64 << 10).unwrap();
    assert!(is_mapped(&file));
    // SAFETY: the C library keeps its allocator usable in the child, which calls nothing else of it but msync and _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_refused = |resized: Result<(), dax::Error>| {
            resized.is_err_and(|error| {
                matches!(error.kind(), ErrorKind::NotSupported(NotSupported::ForkedChild))
            })
        };
        let is_mapped_there = is_mapped(&file);
        let is_left = is_refused(file.grow(64 << 10)) && is_refused(file.shrink(4096));
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(i32::from(is_mapped_there) + 2 * i32::from(!is_left)) };
    }
    assert_eq!(exit_code(child), 0, "1: it is mapped there in the child; 2: the child can map it");
    assert!(is_mapped(&file));
}

/// Waits for a forked child, which must end by itself. Returns its exit code.
fn exit_code(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the child is ours, and so is the status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "the child ended by itself");
    libc::WEXITSTATUS(status)
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
    // SAFETY: the child drops its copy of the file and ends. It frees memory, which the C library permits
    // after a fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(file);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    assert_eq!(exit_code(child), 0);
    assert_locked(&options, &path);
    let other = options.lock(Lock::None).open(&path).unwrap();
    assert_eq!(other.leased(0..64 << 10).unwrap(), Some(4096..5000));
    drop(file);
    assert_eq!(other.leased(0..64 << 10).unwrap(), None);
}

/// The child's copy of a reader's lease ends with the child, and the lease with its parent's.
#[cfg(feature = "preserve")]
#[test]
fn a_forked_child_that_drops_a_lease_of_a_blob_leaves_it_to_its_parent() {
    use cachemaint::preserve::{Reader, Store};

    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let options = Options::new().allow_page_granularity().lock(Lock::None);
    let (mut store, _) =
        Store::open_or_create(options.create_new(&path, 256 << 10).unwrap()).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("a", &[1; 5000]).unwrap();
    transaction.commit().unwrap();
    let file = options.open(&path).unwrap();
    let reader = Reader::open(file.view()).unwrap();
    let lease = reader.lease("a").unwrap();
    let range = lease.info().range();
    // SAFETY: the child drops its copy of the lease and ends. It uses no memory but its own, and no lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(lease);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    assert_eq!(exit_code(child), 0);
    assert_eq!(store.medium().leased(range.clone()).unwrap(), Some(range.clone()));
    drop(lease);
    assert_eq!(store.medium().leased(range).unwrap(), None);
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
    // SAFETY: the C library keeps its allocator usable in the child, which calls nothing else of it but _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_refused = file.view().lease(0..100).is_err_and(|error| {
            matches!(error.kind(), ErrorKind::NotSupported(NotSupported::ForkedChild))
        });
        let is_released = file.view().release(0..64 << 10).is_ok();
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(i32::from(!is_refused) + 2 * i32::from(!is_released)) };
    }
    assert_eq!(exit_code(child), 0, "1: a lease was granted; 2: a release failed");
    assert_eq!(writer.leased(0..64 << 10).unwrap(), Some(4096..5000));
    drop(file);
    assert_eq!(writer.leased(0..64 << 10).unwrap(), None);
}
