//! Errors of files, each with the action to take.

mod kind;

pub use kind::ErrorKind;

use super::system::files;
use crate::system::tree::printable;
use alloc::boxed::Box;
use core::ops::Range;
use std::io;
use std::path::{Path, PathBuf};

/// An operation on a DAX file that failed: the file, the fact, and the action to take.
///
/// An operation that fails leaves the file as it was, unless the kind says otherwise. A file that could
/// not be created whole gets no name.
///
/// `{}` is the whole message, the system's words included, so [`source`](core::error::Error::source) has none to add;
/// [`raw_os_error`](Self::raw_os_error) has the system's number. `{:?}` prints the same, so that a `main` which returns the
/// error, or an `unwrap`, shows what to do and not a page of evidence. `{:#?}` shows the fields.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    // In a place of its own: a result of one word is returned in a register, and not copied where nothing failed.
    failure: Box<Failure>,
}

#[derive(Clone, PartialEq, Eq)]
struct Failure {
    path: PathBuf,
    kind: ErrorKind,
}

impl Error {
    pub(super) fn new(path: &Path, kind: ErrorKind) -> Self {
        Self { failure: Box::new(Failure { path: path.to_path_buf(), kind }) }
    }

    /// Returns an error of a call of the operating system.
    pub(super) fn os(path: &Path, call: &'static str, error: &io::Error) -> Self {
        Self::new(path, ErrorKind::os(call, error))
    }

    /// Returns the meaning of an error of opening the file itself.
    pub(super) fn opening(path: &Path, error: &io::Error) -> Self {
        match files::meaning(error) {
            Some(kind) => Self::new(path, kind),
            None => Self::os(path, "open", error),
        }
    }

    /// Returns the error of a write-back of a range of the mapping by the operating system.
    pub(super) fn writeback(path: &Path, range: &Range<u64>, error: &io::Error) -> Self {
        let (at, len) = (range.start, range.end - range.start);
        Self::new(path, ErrorKind::Writeback { at, len, errno: files::number(error) })
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.failure.path
    }

    /// Returns the error number of the operating system, if a call of it failed.
    #[must_use]
    pub const fn raw_os_error(&self) -> Option<i32> {
        match &self.failure.kind {
            ErrorKind::Writeback { errno, .. }
            | ErrorKind::Read { errno, .. }
            | ErrorKind::Unpopulated { errno, .. }
            | ErrorKind::Os { errno, .. } => Some(*errno),
            ErrorKind::DeepFlush { errno, .. }
            | ErrorKind::NoLeases { errno }
            | ErrorKind::NotCleared { errno, .. } => *errno,
            _ => None,
        }
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.failure.kind
    }
}

/// A conversion to the kind by value.
impl From<Error> for ErrorKind {
    fn from(error: Error) -> Self {
        error.failure.kind
    }
}

impl Error {
    fn io_kind(&self) -> io::ErrorKind {
        if let Some(number) = self.raw_os_error() {
            return io::Error::from_raw_os_error(number).kind();
        }
        match &self.failure.kind {
            ErrorKind::Missing | ErrorKind::NoDirectory => io::ErrorKind::NotFound,
            ErrorKind::NotADirectory => io::ErrorKind::NotADirectory,
            ErrorKind::Exists => io::ErrorKind::AlreadyExists,
            ErrorKind::Directory => io::ErrorKind::IsADirectory,
            ErrorKind::SymbolicLink | ErrorKind::NotRegular | ErrorKind::InvalidInput(_) => {
                io::ErrorKind::InvalidInput
            }
            ErrorKind::Empty
            | ErrorKind::Shorter { .. }
            | ErrorKind::NotAllocated { .. }
            | ErrorKind::Unfinished { .. }
            | ErrorKind::Poisoned { .. } => io::ErrorKind::InvalidData,
            ErrorKind::NoPermission => io::ErrorKind::PermissionDenied,
            ErrorKind::ReadOnlyFileSystem => io::ErrorKind::ReadOnlyFilesystem,
            ErrorKind::NoSpace { .. } => io::ErrorKind::StorageFull,
            ErrorKind::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            ErrorKind::Locked | ErrorKind::TooManyCatches { .. } => io::ErrorKind::ResourceBusy,
            ErrorKind::NotSupported(_)
            | ErrorKind::PageGranular(_)
            | ErrorKind::NotByteGranular(_)
            | ErrorKind::DeviceAttribute { .. }
            | ErrorKind::DeviceDriver { .. }
            | ErrorKind::NotPersistable { .. }
            | ErrorKind::NoLeases { .. } => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // A name can hold what a terminal would execute.
        write!(f, "{}: {}", printable(&self.failure.path.to_string_lossy()), self.failure.kind)
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if f.alternate() {
            let Failure { path, kind } = &*self.failure;
            return f.debug_struct("Error").field("path", path).field("kind", kind).finish();
        }
        core::fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Error {}

impl From<Error> for io::Error {
    /// Keeps the error inside, with its message. [`io::Error::kind`] is the one that fits; the number of the system is
    /// that of [`Error::raw_os_error`].
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind};
    use crate::dax::{ClearStep, InvalidInput};
    use alloc::format;
    use alloc::string::ToString;
    use core::ops::Range;
    use std::io;
    use std::path::Path;

    fn error(kind: ErrorKind) -> Error {
        Error::new(Path::new("/mnt/log"), kind)
    }

    #[test]
    fn a_program_of_io_errors_sees_the_fitting_kind_and_the_whole_message() {
        for (kind, expected) in [
            (ErrorKind::Missing, io::ErrorKind::NotFound),
            (ErrorKind::Exists, io::ErrorKind::AlreadyExists),
            (ErrorKind::Locked, io::ErrorKind::ResourceBusy),
            (ErrorKind::NoSpace { len: 1 }, io::ErrorKind::StorageFull),
            (ErrorKind::Shorter { size: 1, needed: 2 }, io::ErrorKind::InvalidData),
            (ErrorKind::Poisoned { at: 0, len: 512 }, io::ErrorKind::InvalidData),
            (ErrorKind::InvalidInput(InvalidInput::ZeroLength), io::ErrorKind::InvalidInput),
            (ErrorKind::NoLeases { errno: None }, io::ErrorKind::Unsupported),
        ] {
            let error = error(kind);
            let message = error.to_string();
            assert!(message.starts_with("/mnt/log: "), "{message}");
            let error = io::Error::from(error);
            assert_eq!(error.kind(), expected, "{message}");
            assert_eq!(error.to_string(), message);
            assert!(error.get_ref().unwrap().is::<Error>());
        }
    }

    #[test]
    fn clearing_reports_old_pages_as_no_bad_block() {
        let text = |step, lost: Range<u64>| {
            let (at, len, lost) = (0, 40960, [lost].into());
            error(ErrorKind::NotCleared { at, len, step, errno: None, lost }).to_string()
        };
        assert_eq!(
            text(ClearStep::Unmap, 512..1024),
            "/mnt/log: no bad block is known in the 40960 bytes at offset 0, but the mapping keeps its old \
             pages (madvise); 512 bytes are lost; open the file again"
        );
        let written = text(ClearStep::Write, 0..40960);
        assert!(written.contains("was not cleared: writing it anew failed"), "{written}");
        assert!(written.ends_with("copy the rest of the file to another place"), "{written}");
    }

    /// `EACCES` is 13 on every system that this test runs on (`asm-generic/errno-base.h`).
    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_of_the_system_keeps_its_number_and_kind() {
        use core::error::Error as _;
        let (attribute, answer) = ("deep_flush".into(), "1".into());
        let flush = error(ErrorKind::DeepFlush { attribute, answer, errno: Some(13) });
        assert_eq!(flush.raw_os_error(), Some(13));
        let error = error(ErrorKind::Os { call: "statx", errno: 13 });
        assert_eq!(error.raw_os_error(), Some(13));
        let words = io::Error::from_raw_os_error(13).to_string();
        assert_eq!(error.to_string(), format!("/mnt/log: statx failed: {words}"));
        assert!(error.source().is_none(), "its message has the words of the system");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_main_that_returns_the_error_prints_its_message() {
        let error = error(ErrorKind::Shorter { size: 1, needed: 2 });
        assert_eq!(format!("{error:?}"), error.to_string());
        let fields = format!("{error:#?}");
        for field in ["path: \"/mnt/log\"", "kind: Shorter {", "size: 1", "needed: 2"] {
            assert!(fields.contains(field), "{fields}");
        }
    }
}
