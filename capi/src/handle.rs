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
use std::sync::{Mutex, OnceLock, PoisonError};

/// The closed handles that are kept unused.
const KEPT: usize = 1000;

/// Closed handles, the oldest first.
static CLOSED: Mutex<VecDeque<&'static Handle>> = Mutex::new(VecDeque::new());

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
        CLOSED.lock().unwrap_or_else(PoisonError::into_inner).push_back(handle);
        Ok(())
    }
}

fn oldest_closed() -> Option<&'static Handle> {
    let mut closed = CLOSED.lock().unwrap_or_else(PoisonError::into_inner);
    if closed.len() > KEPT { closed.pop_front() } else { None }
}

#[cold]
fn closed() -> Failure {
    Failure::new(Code::Closed, "the file was closed; open it again")
}
