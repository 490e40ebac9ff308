//! Open files as C programs hold them.
//!
//! A handle's memory is never released, so that a closed one is noticed and not followed. It is used again when a thousand
//! later ones were closed.
//!
//! # Why this file is unsafe
//! It follows pointers that the caller got from here, and releases files that no caller uses any more.

use crate::arguments::null;
use crate::error::{Code, Failure};
use crate::promises::Texts;
use cachemaint::dax::DaxFile;
use core::ptr;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::collections::VecDeque;
use std::process;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The closed handles that are kept unused.
const KEPT: usize = 1000;

/// The closed handles of this process, or of the one that forked it.
static CLOSED: AtomicPtr<Closed> = AtomicPtr::new(ptr::null_mut());

/// The closed handles of a process.
#[derive(Debug)]
struct Closed {
    owner: u32,
    /// The oldest comes first.
    handles: Mutex<VecDeque<&'static Handle>>,
}

/// `cachemaint_file`: the place of an open file, null if it was closed.
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

    /// Returns the open file of a handle, to change it.
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
        closed_handles().push_back(handle);
        Ok(())
    }
}

fn oldest_closed() -> Option<&'static Handle> {
    let mut closed = closed_handles();
    if closed.len() > KEPT { closed.pop_front() } else { None }
}

fn closed_handles() -> MutexGuard<'static, VecDeque<&'static Handle>> {
    Closed::of_this_process().handles.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Closed {
    /// Returns the closed handles of this process. A child of `fork` begins with none: a thread of its parent may have
    /// held the lock, and the child's copy of it would never be released.
    fn of_this_process() -> &'static Self {
        let owner = process::id();
        let found = CLOSED.load(Acquire);
        // SAFETY: it is null or comes from here, and is never released.
        if let Some(closed) = unsafe { found.as_ref() }
            && closed.owner == owner
        {
            return closed;
        }
        let new = Box::into_raw(Box::new(Self { owner, handles: Mutex::default() }));
        match CLOSED.compare_exchange(found, new, AcqRel, Acquire) {
            // SAFETY: it is never released.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: no other thread has seen it.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: another thread of this process has made it, and it is never released.
                unsafe { &*other }
            }
        }
    }
}

#[cold]
fn closed() -> Failure {
    Failure::new(Code::Closed, "the file was closed; open it again")
}

#[cfg(test)]
mod tests {
    use super::closed_handles;
    use crate::files::{ALLOW_PAGES, CREATE, cachemaint_close, cachemaint_open};
    use core::ffi::{c_int, c_uint};
    use core::ptr;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;

    unsafe extern "C" {
        safe fn fork() -> c_int;
        safe fn alarm(seconds: c_uint) -> c_uint;
        fn waitpid(child: c_int, status: *mut c_int, options: c_int) -> c_int;
        safe fn _exit(status: c_int) -> !;
    }

    #[test]
    fn a_child_opens_a_file_although_its_parent_was_closing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = CString::new(folder.path().join("file").as_os_str().as_bytes()).unwrap();
        let held = closed_handles();
        let child = fork();
        if child == 0 {
            // A child that waits for the lock is ended.
            alarm(60);
            let (flags, mut file) = (CREATE | ALLOW_PAGES, ptr::null_mut());
            // SAFETY: (1) it is a string; (2) it is a variable.
            let opened = unsafe { cachemaint_open(path.as_ptr(), 4096, flags, &raw mut file) };
            // SAFETY: (1) it is null or an open file; (2) this thread alone knows of it.
            let closed = unsafe { cachemaint_close(file) };
            _exit(opened + closed);
        }
        drop(held);
        let mut status = -1;
        // SAFETY: it is a variable.
        assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "it was ended, or could not open the file");
    }
}
