//! The handles by which C programs refer to open files.
//!
//! The memory of a handle is never freed, so a closed one is detected instead of being followed. It is reused after a
//! thousand more handles have been closed.
//!
//! # Why this file is unsafe
//! It follows pointers that the caller got from here, and frees files that no caller uses any more.

use crate::arguments::null;
use crate::error::{Code, Failure};
use crate::promises::Texts;
use cachemaint::dax::DaxFile;
use core::ptr;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};
use std::thread;

/// The closed handles that are kept unused.
const KEPT: usize = 1000;

/// The number of attempts to lock the closed handles. A thread holds the lock for a few instructions.
const ATTEMPTS: u32 = 1000;

/// The closed handles, oldest first.
static CLOSED: Mutex<VecDeque<&'static Handle>> = Mutex::new(VecDeque::new());

/// `cachemaint_file`: a pointer to an open file, or null if it was closed.
#[derive(Debug)]
pub(crate) struct Handle {
    open: AtomicPtr<Open>,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) file: DaxFile,
    /// The texts of its guarantee, which are valid until it is closed.
    pub(crate) texts: OnceLock<Texts>,
}

impl Handle {
    /// Returns a handle for a file.
    pub(crate) fn of(file: DaxFile) -> *mut Self {
        let open = Box::into_raw(Box::new(Open { file, texts: OnceLock::new() }));
        let handle = oldest_closed()
            .unwrap_or_else(|| Box::leak(Box::new(Self { open: AtomicPtr::new(ptr::null_mut()) })));
        handle.open.store(open, Release);
        ptr::from_ref(handle).cast_mut()
    }

    /// Returns the open file of a handle.
    ///
    /// # Safety
    /// 1. It is null or was returned by [`of`](Self::of).
    /// 2. No thread closes it while the file is used.
    #[inline]
    pub(crate) unsafe fn open<'a>(handle: *const Self) -> Result<&'a Open, Failure> {
        if handle.is_null() {
            return Err(null("file"));
        }
        // SAFETY: (1) is the caller's duty, and handles are not released.
        let open = unsafe { (*handle).open.load(Acquire) };
        // SAFETY: it is null, or that of an open file, which stays open by (2).
        unsafe { open.as_ref() }.ok_or_else(closed)
    }

    /// Returns the open file of a handle for changing it.
    ///
    /// # Safety
    /// 1. It is null or was returned by [`of`](Self::of).
    /// 2. No other thread uses the file meanwhile.
    pub(crate) unsafe fn open_alone<'a>(handle: *mut Self) -> Result<&'a mut Open, Failure> {
        if handle.is_null() {
            return Err(null("file"));
        }
        // SAFETY: (1) is the caller's duty, and handles are not released.
        let open = unsafe { (*handle).open.load(Acquire) };
        // SAFETY: it is null, or that of an open file, which nothing else uses by (2).
        unsafe { open.as_mut() }.ok_or_else(closed)
    }

    /// Closes the file of a handle.
    ///
    /// # Safety
    /// 1. It is null or was returned by [`of`](Self::of).
    /// 2. No thread uses the file.
    pub(crate) unsafe fn close(handle: *const Self) -> Result<(), Failure> {
        if handle.is_null() {
            return Ok(());
        }
        // SAFETY: (1) is the caller's duty, and handles are not released.
        let handle: &'static Self = unsafe { &*handle };
        let open = handle.open.swap(ptr::null_mut(), AcqRel);
        if open.is_null() {
            return Err(closed());
        }
        // SAFETY: `of` made it of a box, only one call takes it out, and nothing uses it by (2).
        drop(unsafe { Box::from_raw(open) });
        if let Some(mut closed) = closed_handles() {
            closed.push_back(handle);
        }
        Ok(())
    }
}

fn oldest_closed() -> Option<&'static Handle> {
    let mut closed = closed_handles()?;
    if closed.len() > KEPT { closed.pop_front() } else { None }
}

/// Locks the closed handles. It does not wait forever for a lock that is never released: in a child of `fork`, the lock
/// can be a copy of one that another thread of the parent held. Handles are then not reused.
fn closed_handles() -> Option<MutexGuard<'static, VecDeque<&'static Handle>>> {
    for _ in 0..ATTEMPTS {
        match CLOSED.try_lock() {
            Ok(closed) => return Some(closed),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
    None
}

#[cold]
fn closed() -> Failure {
    Failure::new(Code::Closed, "the file was closed; open it again")
}

#[cfg(test)]
mod tests {
    use super::closed_handles;
    use crate::files::{ALLOW_PAGES, CREATE, cachemaint_close, cachemaint_open};
    use core::ffi::{CStr, c_int, c_uint, c_ulong};
    use core::ptr;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    unsafe extern "C" {
        safe fn fork() -> c_int;
        safe fn alarm(seconds: c_uint) -> c_uint;
        fn waitpid(child: c_int, status: *mut c_int, options: c_int) -> c_int;
        safe fn _exit(status: c_int) -> !;
        safe fn unshare(flags: c_int) -> c_int;
        fn prctl(option: c_int, ...) -> c_int;
    }

    /// `CLONE_NEWUSER` and `CLONE_NEWPID`.
    const NEW_USER: c_int = 0x1000_0000;
    const NEW_PROCESSES: c_int = 0x2000_0000;
    /// `PR_SET_PDEATHSIG` and `SIGKILL`.
    const SET_DEATH_SIGNAL: c_int = 1;
    const KILL: c_ulong = 9;

    /// Forks a child that does some work, and returns true if the work returns true there.
    fn is_so_in_a_child(work: impl FnOnce() -> bool) -> bool {
        let child = fork();
        if child == 0 {
            // A child that waits for the lock is killed, and its children with it: the first process of a namespace
            // ignores the alarm.
            // SAFETY: the option takes a signal.
            unsafe { prctl(SET_DEATH_SIGNAL, KILL) };
            alarm(60);
            _exit((!work()).into());
        }
        let mut status = -1;
        // SAFETY: it is a variable.
        assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
        status == 0
    }

    fn opens_and_closes(path: &CStr) -> bool {
        let (flags, mut file) = (CREATE | ALLOW_PAGES, ptr::null_mut());
        // SAFETY: (1) it is a string; (2) it is a variable.
        let opened = unsafe { cachemaint_open(path.as_ptr(), 4096, flags, &raw mut file) };
        // SAFETY: (1) it is null or an open file; (2) this thread alone knows of it.
        let closed = unsafe { cachemaint_close(file) };
        opened + closed == 0
    }

    fn path_in(folder: &Path) -> CString {
        CString::new(folder.join("file").as_os_str().as_bytes()).unwrap()
    }

    #[test]
    fn a_child_opens_a_file_although_its_parent_was_closing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(folder.path());
        let held = closed_handles();
        let has_opened = is_so_in_a_child(|| opens_and_closes(&path));
        drop(held);
        assert!(has_opened, "it was ended, or could not open the file");
    }

    /// Parent and child have the process number 1, each in its namespace.
    #[test]
    fn a_child_with_the_number_of_its_parent_opens_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(folder.path());
        let is_so_as_number_1 = |namespaces, work: &dyn Fn() -> bool| {
            // Not every machine permits namespaces.
            unshare(namespaces) != 0 || is_so_in_a_child(work)
        };
        let parent = || {
            let _held = closed_handles();
            is_so_as_number_1(NEW_PROCESSES, &|| opens_and_closes(&path))
        };
        // A user may make one of processes in a namespace of users.
        let has_opened = is_so_in_a_child(|| is_so_as_number_1(NEW_USER | NEW_PROCESSES, &parent));
        assert!(has_opened, "a child could not open the file");
    }
}
