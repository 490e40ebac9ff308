//! Errors as numbers, and the message of each thread's last one.

use crate::{text, thread_end};
use cachemaint::Unsupported;
use cachemaint::dax::{Error, ErrorKind, InvalidInput, Taint};
use core::cell::RefCell;
use core::ffi::{c_char, c_int, c_void};
use core::mem::ManuallyDrop;
use std::borrow::Cow;
use std::ffi::CString;

/// The call whose failure is one of stored bytes. A sync of a directory is about its names alone, and has another text.
const SYNC: &str = "fsync";

/// The errors of this call on a file system without syncs: no byte is lost by them.
const WITHOUT_SYNCS: [c_int; 4] = [libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP, libc::ENOTTY];

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

/// An error on its way to the caller.
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
        let errno = errno_of(&error);
        let action = in_c(error.kind());
        Self { code: code_of(error.kind()), message: format!("{error}{action}").into(), errno }
    }
}

impl From<Taint> for Failure {
    #[cold]
    fn from(taint: Taint) -> Self {
        let errno = if let Taint::Writeback { errno, .. } = taint { errno } else { 0 };
        let message = format!("{taint}; read the file again, or restore it from elsewhere");
        Self { code: Code::WritebackFailed, message: message.into(), errno }
    }
}

/// Returns the number of the system for an error, or 0. A limit of the process has a kind that does not keep it.
const fn errno_of(error: &Error) -> c_int {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::TooManyFiles { .. }, _) => libc::EMFILE,
        (ErrorKind::TooLarge { .. }, _) => libc::EFBIG,
        (_, Some(errno)) => errno,
        (_, None) => 0,
    }
}

/// Returns the name of the action in C, where the message of the error has that of Rust.
const fn in_c(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PageGranular(_) => " (CACHEMAINT_ALLOW_PAGES)",
        _ => "",
    }
}

/// Returns the number of a kind of errors.
pub(crate) fn code_of(kind: &ErrorKind) -> Code {
    match kind {
        ErrorKind::Missing | ErrorKind::NoDirectory | ErrorKind::NotADirectory => Code::NotFound,
        ErrorKind::Exists => Code::Exists,
        ErrorKind::SymbolicLink | ErrorKind::Directory | ErrorKind::NotRegular => Code::NotAFile,
        ErrorKind::Empty | ErrorKind::Shorter { .. } => Code::TooShort,
        // C maps a device as a whole: the length is the device's, and no argument of the caller's.
        ErrorKind::InvalidInput(InvalidInput::MisalignedLength { .. })
        | ErrorKind::NotSupported(_)
        | ErrorKind::DeviceAttribute { .. }
        | ErrorKind::DeviceDriver { .. }
        | ErrorKind::NotPersistable { .. }
        | ErrorKind::NoLeases { .. } => Code::Unsupported,
        ErrorKind::InvalidInput(_) => Code::InvalidArgument,
        ErrorKind::NoPermission | ErrorKind::ReadOnlyFileSystem => Code::Permission,
        ErrorKind::NoSpace { .. } | ErrorKind::TooLarge { .. } => Code::NoSpace,
        ErrorKind::Locked => Code::Locked,
        ErrorKind::DeepFlush { .. } => Code::NotFlushed,
        ErrorKind::NotAllocated { .. } | ErrorKind::Unfinished { .. } => Code::NotAllocated,
        // EFAULT has several causes, and no byte need be lost.
        ErrorKind::Unpopulated { errno: libc::EHWPOISON, .. }
        | ErrorKind::Poisoned { .. }
        | ErrorKind::Read { .. }
        | ErrorKind::NotCleared { .. } => Code::MediaError,
        ErrorKind::PageGranular(_) | ErrorKind::NotByteGranular(_) => Code::TooCoarse,
        ErrorKind::Os { call: SYNC, errno, .. } if WITHOUT_SYNCS.contains(errno) => Code::System,
        ErrorKind::Writeback { .. } | ErrorKind::Os { call: SYNC, .. } => Code::WritebackFailed,
        ErrorKind::Unknown { .. } => Code::Unknown,
        _ => Code::System,
    }
}

/// The last error of a thread.
struct Last {
    message: Option<CString>,
    errno: c_int,
}

thread_local! {
    /// The last error. It has no destructor, so that it is there as long as the thread runs code.
    static LAST: ManuallyDrop<RefCell<Last>> =
        const { ManuallyDrop::new(RefCell::new(Last { message: None, errno: 0 })) };
}

/// Releases the message of a thread that ends.
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

/// Returns the system's number of this thread's last error, or 0.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn cachemaint_error_errno() -> c_int {
    LAST.with(|last| last.borrow().errno)
}

#[cfg(test)]
mod tests {
    use super::{Code, Failure, cachemaint_error_errno, number};
    use cachemaint::dax::Taint;

    #[test]
    fn a_taint_by_a_failed_write_back_has_the_error_of_the_call() {
        let (at, len) = (4096, 8);
        for (taint, errno) in [
            (Taint::Writeback { at, len, errno: 5 }, 5),
            (Taint::Cleared { at, len }, 0),
            (Taint::Fault { at, len }, 0),
        ] {
            assert_eq!(number(Err(Failure::from(taint))), Code::WritebackFailed as i32);
            assert_eq!(cachemaint_error_errno(), errno, "{taint}");
        }
    }
}
