//! Errors as numbers, and the message of each thread's last error.

use crate::{text, thread_end};
use cachemaint::Unsupported;
use cachemaint::dax::{Error, ErrorKind};
use core::cell::RefCell;
use core::ffi::{c_char, c_int, c_void};
use core::mem::ManuallyDrop;
use std::borrow::Cow;
use std::ffi::CString;

/// The result of a function that succeeded.
pub(crate) const OK: c_int = 0;

/// The errors of the header, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Code {
    InvalidArgument = 1,
    OutOfRange = 2,
    Closed = 3,
    Unsupported = 4,
    NotFound = 5,
    Exists = 6,
    NotAFile = 7,
    Permission = 8,
    Locked = 9,
    TooShort = 10,
    NoSpace = 11,
    TooCoarse = 12,
    NotAllocated = 13,
    WritebackFailed = 14,
    NotFlushed = 15,
    MediaError = 16,
    Unknown = 17,
    System = 18,
}

/// An error to be returned to the caller.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: Cow<'static, str>,
    errno: c_int,
}

impl Failure {
    #[cold]
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), errno: 0 }
    }
}

impl From<Unsupported> for Failure {
    #[cold]
    fn from(why: Unsupported) -> Self {
        Self::new(Code::Unsupported, why.to_string())
    }
}

impl From<Error> for Failure {
    #[cold]
    fn from(error: Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        let action = in_c(error.kind());
        Self { code: code_of(error.kind()), message: format!("{error}{action}").into(), errno }
    }
}

/// Returns the name of the action in C, for messages that contain Rust's name.
const fn in_c(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PageGranular(_) => " (CACHEMAINT_ALLOW_PAGES)",
        _ => "",
    }
}

/// Returns the number of an error kind.
pub(crate) const fn code_of(kind: &ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Exists => Code::Exists,
        ErrorKind::NotAFile | ErrorKind::Pseudo { .. } => Code::NotAFile,
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::Unsupported => Code::Unsupported,
        ErrorKind::PermissionDenied => Code::Permission,
        ErrorKind::NoSpace { .. } => Code::NoSpace,
        ErrorKind::Locked => Code::Locked,
        ErrorKind::Shorter { .. } => Code::TooShort,
        ErrorKind::NotAllocated { .. } => Code::NotAllocated,
        ErrorKind::PageGranular(_) => Code::TooCoarse,
        ErrorKind::Writeback { .. } => Code::WritebackFailed,
        ErrorKind::Poisoned { .. } => Code::MediaError,
        ErrorKind::NotFlushed => Code::NotFlushed,
        ErrorKind::Unknown => Code::Unknown,
        _ => Code::System,
    }
}

/// The last error of a thread.
struct Last {
    message: Option<CString>,
    errno: c_int,
}

thread_local! {
    /// The last error. It has no destructor, so it exists as long as the thread runs code.
    static LAST: ManuallyDrop<RefCell<Last>> =
        const { ManuallyDrop::new(RefCell::new(Last { message: None, errno: 0 })) };
}

/// Frees the message of a thread that ends.
extern "C" fn release(_: *mut c_void) {
    LAST.with(|last| drop(last.borrow_mut().message.take()));
}

/// Returns the number of a result, and keeps the message of an error.
#[inline]
pub(crate) fn number(result: Result<(), Failure>) -> c_int {
    match result {
        Ok(()) => OK,
        Err(failure) => keep(&failure),
    }
}

/// Keeps the message.
#[cold]
fn keep(failure: &Failure) -> c_int {
    let new = Last { message: Some(text::line(&failure.message)), errno: failure.errno };
    LAST.with(|last| drop(last.replace(new)));
    thread_end::call(release);
    failure.code as c_int
}

/// Returns the message of this thread's last error.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn cachemaint_error_message() -> *const c_char {
    let message = |last: &ManuallyDrop<RefCell<Last>>| {
        last.borrow().message.as_ref().map(|text| text.as_ptr())
    };
    LAST.with(message).unwrap_or(c"".as_ptr())
}

/// Returns the errno of this thread's last error, or 0.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn cachemaint_error_errno() -> c_int {
    LAST.with(|last| last.borrow().errno)
}
