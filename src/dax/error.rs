//! Errors of files, each with a remedy.

use super::Guarantee;
#[cfg(target_os = "linux")]
use super::meaning::meaning;
use super::system::{Failed, Unasked, Unflushed, Unusable, files};
use crate::system::calls::System;
use crate::system::tree::printable;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::ops::Range;
use std::io;
use std::path::{Path, PathBuf};

/// The error of an operation on a DAX file: the file, what happened, and what to do.
///
/// An operation that fails leaves the file as it was, unless the kind says otherwise. A file that could not be created
/// completely gets no name.
///
/// `{}` is the whole message, including the system's words, so [`source`](core::error::Error::source) has none to add;
/// [`raw_os_error`](Self::raw_os_error) has the system's number. `{:?}` prints the same, so that a `main` that returns
/// the error, or an `unwrap`, shows the remedy. `{:#?}` shows the fields.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    // Boxed, so that a result is one word, returned in a register.
    inner: Box<Inner>,
}

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    path: PathBuf,
    kind: ErrorKind,
    /// The fact and the remedy, if the kind's own words are not enough.
    text: Option<Box<str>>,
    errno: Option<i32>,
}

/// The kind of an [`Error`], for programs that act on it. The message says the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file, or a directory of its path, does not exist.
    NotFound,
    /// The path exists already.
    Exists,
    /// The path is a directory, a symbolic link, or a device that cannot be mapped.
    NotAFile,
    /// The file shows objects of the kernel or registers of a device, and stores nothing.
    #[non_exhaustive]
    Pseudo {
        /// The name of its file system: `sysfs`, `proc`, `debugfs` or another one.
        file_system: &'static str,
    },
    /// An offset, a length, a change of the length or a descriptor does not fit the file.
    InvalidInput,
    /// This CPU, this system, the file system or the device does not support the operation.
    Unsupported,
    /// This user has no permission for the operation, or the file system is mounted read-only.
    PermissionDenied,
    /// The file system has no space for this number of bytes, no free inode, or no quota left, or does not permit a
    /// file of this length.
    #[non_exhaustive]
    NoSpace {
        /// Bytes asked for; 0 for a name.
        len: u64,
    },
    /// Another open file holds the lock, in this process or in another.
    Locked,
    /// The file is shorter than the range to map, or was truncated while it was mapped. If pages are persisted, each
    /// persist notices that, whatever its range. With a `FaultHandler`, so does an access to the part that is gone.
    #[non_exhaustive]
    Shorter {
        /// Bytes the file has.
        size: u64,
        /// Bytes needed: offset plus length.
        needed: u64,
    },
    /// A part of the file has no written blocks of its own, so a store could still need the file system. The part is a
    /// hole, an extent that was allocated and never written, or an extent that is shared with another file.
    #[non_exhaustive]
    NotAllocated {
        /// The beginning of the part, in bytes of the file.
        at: u64,
    },
    /// The file can be made persistent in whole pages only, and the caller did not allow that
    /// ([`Options::allow_page_granularity`](super::Options::allow_page_granularity)).
    PageGranular(Box<Guarantee>),
    /// A write-back by the operating system failed, or the sync at an opening. Bytes that were stored since the last
    /// successful one may be lost, even if a second try succeeds.
    #[non_exhaustive]
    Writeback {
        /// The beginning of the range, in bytes of the mapping.
        at: u64,
        /// The length of the range in bytes.
        len: u64,
        /// The system's error number.
        errno: i32,
    },
    /// Bytes cannot be read: the medium has lost them, or the device or server under the file system failed.
    #[non_exhaustive]
    Poisoned {
        /// The beginning of the bytes, in bytes of the mapping.
        at: u64,
        /// The number of bytes.
        len: u64,
    },
    /// The bytes were persisted, but the medium's own buffers may not have been flushed.
    NotFlushed,
    /// A fact about the file could not be determined.
    Unknown,
    /// Another call of the operating system failed.
    #[non_exhaustive]
    Os {
        /// The call.
        call: &'static str,
        /// The error number of the call.
        errno: i32,
    },
}

impl Error {
    /// Returns an error with the words of its kind.
    pub(super) fn new(path: &Path, kind: ErrorKind) -> Self {
        Self::with(path, kind, None, None)
    }

    /// Returns an error with a fact and a remedy of its own.
    pub(super) fn because(path: &Path, kind: ErrorKind, text: impl Into<Box<str>>) -> Self {
        Self::with(path, kind, Some(text.into()), None)
    }

    pub(super) fn is_directory(path: &Path) -> Self {
        Self::because(path, ErrorKind::NotAFile, IS_DIRECTORY)
    }

    pub(super) fn invalid(path: &Path, text: impl Into<Box<str>>) -> Self {
        Self::because(path, ErrorKind::InvalidInput, text)
    }

    pub(super) fn unsupported(path: &Path, text: impl Into<Box<str>>) -> Self {
        Self::because(path, ErrorKind::Unsupported, text)
    }

    /// Returns the error of a fact that is unknown, for this reason.
    #[doc(hidden)]
    #[must_use]
    pub fn unknown(path: &Path, fact: &str, why: &dyn core::fmt::Display) -> Self {
        Self::because(path, ErrorKind::Unknown, format!("{fact} is unknown: {why}"))
    }

    /// Returns the error of a failed call, with its meaning there and the remedy.
    pub(super) fn failed(path: &Path, Failed { call, errno }: Failed) -> Self {
        Self::os(path, call, &io::Error::from_raw_os_error(errno))
    }

    /// Returns the error of a file about which there are no facts.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(clippy::needless_pass_by_value, reason = "on Linux the reason has texts")
    )]
    pub(super) fn unasked(path: &Path, why: Unasked) -> Self {
        match why {
            Unasked::Failed(failed) => Self::failed(path, failed),
            Unasked::Directory => Self::is_directory(path),
            Unasked::NotAFile => Self::new(path, ErrorKind::NotAFile),
            #[cfg(target_os = "linux")]
            Unasked::Pseudo(file_system) => Self::new(path, ErrorKind::Pseudo { file_system }),
            #[cfg(target_os = "linux")]
            Unasked::Unusable(why) => Self::unsupported(path, why.to_string()),
        }
    }

    fn with(path: &Path, kind: ErrorKind, text: Option<Box<str>>, errno: Option<i32>) -> Self {
        let path = path.to_path_buf();
        Self { inner: Box::new(Inner { path, kind, text, errno }) }
    }

    /// Returns the same error with the system's error number.
    pub(super) fn numbered(mut self, errno: i32) -> Self {
        self.inner.errno = Some(errno);
        self
    }

    /// Returns the error of a system call about a path, with its meaning there and the remedy.
    #[doc(hidden)]
    #[must_use]
    pub fn os(path: &Path, call: &'static str, error: &io::Error) -> Self {
        #[cfg(target_os = "linux")]
        let (kind, text) = meaning(path, call, error, kind_of(call, error));
        #[cfg(not(target_os = "linux"))]
        let (kind, text) = (kind_of(call, error), None::<&str>);
        Self::with(path, kind, text.map(Into::into), Some(files::number(error)))
    }

    /// Returns the same error with `text` applied to its message.
    pub(super) fn about(mut self, text: impl FnOnce(&str) -> String) -> Self {
        let own = self.inner.text.unwrap_or_else(|| self.inner.kind.to_string().into());
        self.inner.text = Some(text(&own).into());
        self
    }

    /// Returns the error of a lock that could not be taken.
    pub(super) fn locking(path: &Path, error: &io::Error) -> Self {
        let locks = System::host().locks;
        let text = format!("cannot be locked ({}: {error}); {locks}", files::LOCK);
        Self::unsupported(path, text).numbered(files::number(error))
    }

    /// Returns the error of writing or syncing zeros in a range. No other bytes can be lost.
    pub(super) fn writing(
        path: &Path,
        call: &'static str,
        range: &Range<u64>,
        error: &io::Error,
    ) -> Self {
        let len = range.end - range.start;
        match error.kind() {
            io::ErrorKind::StorageFull => {
                Self::new(path, ErrorKind::NoSpace { len }).numbered(files::number(error))
            }
            io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                let mut failed = Self::os(path, call, error);
                failed.inner.kind = ErrorKind::NoSpace { len };
                failed
            }
            _ => Self::os(path, call, error),
        }
    }

    /// Returns the error of syncing an existing file of `len` bytes.
    pub(super) fn syncing(path: &Path, len: u64, error: &io::Error) -> Self {
        let errno = files::number(error);
        if files::is_without_syncs(errno) {
            let text = "its file system does not sync files; use one that does";
            return Self::unsupported(path, text).numbered(errno);
        }
        let text = format!(
            "its sync failed: {error}; bytes that were stored in the file before may be lost, even if the next try \
             succeeds: check the device, and restore missing bytes from elsewhere"
        );
        Self::because(path, ErrorKind::Writeback { at: 0, len, errno }, text)
    }

    /// Returns the error of a medium whose own buffers were not flushed after a range was persisted.
    #[cold]
    pub(super) fn unflushed(
        path: &Path,
        Unflushed { path: attribute, answer, errno }: &Unflushed,
    ) -> Self {
        let text = format!(
            "was persisted, but the medium's own buffers were not flushed: {attribute}: {answer}; flush them as root, or rely \
             on the stored energy of the persistence domain"
        );
        let error = Self::because(path, ErrorKind::NotFlushed, text);
        match errno {
            Some(errno) => error.numbered(*errno),
            None => error,
        }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Returns the operating system's error number, if a system call failed.
    #[must_use]
    pub const fn raw_os_error(&self) -> Option<i32> {
        match (self.inner.errno, &self.inner.kind) {
            (None, ErrorKind::Writeback { errno, .. } | ErrorKind::Os { errno, .. }) => {
                Some(*errno)
            }
            (errno, _) => errno,
        }
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    fn io_kind(&self) -> io::ErrorKind {
        if let Some(number) = self.raw_os_error() {
            return io::Error::from_raw_os_error(number).kind();
        }
        match &self.inner.kind {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::Exists => io::ErrorKind::AlreadyExists,
            ErrorKind::NotAFile | ErrorKind::Pseudo { .. } | ErrorKind::InvalidInput => {
                io::ErrorKind::InvalidInput
            }
            ErrorKind::Unsupported | ErrorKind::PageGranular(_) => io::ErrorKind::Unsupported,
            ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::NoSpace { .. } => io::ErrorKind::StorageFull,
            ErrorKind::Locked => io::ErrorKind::ResourceBusy,
            ErrorKind::Shorter { .. }
            | ErrorKind::NotAllocated { .. }
            | ErrorKind::Poisoned { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        }
    }
}

impl core::fmt::Display for Unusable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Attribute { path, answer } => write!(
                f,
                "its attribute {path} is unusable: {answer}; see how the device is set up (daxctl list)"
            ),
            Self::Driver(Some(name)) => {
                let what = match name.as_str() {
                    "kmem" => "which makes it system RAM",
                    "fsdev_dax" => "which has no mmap: a file system (famfs) maps it",
                    _ => "which is not known to map it",
                };
                write!(
                    f,
                    "is bound to {name}, {what}; give it to device DAX (daxctl reconfigure-device --mode=devdax)"
                )
            }
            Self::Driver(None) => f.write_str("has no driver; enable it (daxctl enable-device)"),
        }
    }
}

/// The words for a directory and for a symbolic link.
pub(super) const IS_DIRECTORY: &str = "is a directory; name a file in it";
pub(super) const IS_SYMLINK: &str = "is a symbolic link, which is not followed; name its target";

/// Returns the kind of a failed call, from the error only. The system's module may know more.
fn kind_of(call: &'static str, error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::Exists,
        io::ErrorKind::IsADirectory => ErrorKind::NotAFile,
        io::ErrorKind::InvalidFilename => ErrorKind::InvalidInput,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::PermissionDenied
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::NoSpace { len: 0 }
        }
        _ => ErrorKind::Os { call, errno: files::number(error) },
    }
}

/// A conversion to the kind by value.
impl From<Error> for ErrorKind {
    fn from(error: Error) -> Self {
        error.inner.kind
    }
}

/// The words for errors of this kind. An [`Error`] can have more specific ones.
impl core::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.write(f, &System::host())
    }
}

impl ErrorKind {
    /// Writes the words with the remedies of a system.
    fn write(
        &self,
        f: &mut core::fmt::Formatter<'_>,
        System { shows_space, shows_log, .. }: &System,
    ) -> core::fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file or directory; check the path, or create it first"),
            Self::Exists => {
                f.write_str("exists already; open it instead of creating it, or choose another name")
            }
            Self::NotAFile => f.write_str("is not a regular file; name one"),
            Self::Pseudo { file_system } => write!(
                f,
                "is a file of {file_system}, which shows the kernel or a device and stores nothing; name a file that \
                 stores bytes"
            ),
            Self::InvalidInput => f.write_str("range is outside the file; ask for another one"),
            Self::Unsupported => f.write_str("is not supported here; use another file system"),
            Self::PermissionDenied => f.write_str(
                "permission denied; let the owner grant it, or remount its file system for writing",
            ),
            Self::NoSpace { len: 0 } => write!(
                f,
                "no space in its file system{shows_space}, or a quota is used up; free some, or ask for less",
            ),
            Self::NoSpace { len } => {
                write!(f, "no space for {len} bytes; free some{shows_space}, or ask for less")
            }
            Self::Locked => f.write_str(
                "is locked by another open file; wait until that is closed (only one process writes a file at a \
                 time; a forked child of an ended process can still hold the lock)",
            ),
            Self::Shorter { size: 0, .. } => f.write_str(
                "has no bytes to map; check the path, give it a length, or remove it and create it with one",
            ),
            Self::Shorter { size, needed } => write!(
                f,
                "has {size} bytes, but offset and length need {needed}; restore the rest if the file was truncated, \
                 ask for fewer bytes, or grow a regular file that was never longer"
            ),
            Self::NotAllocated { at } => write!(
                f,
                "has no written blocks of its own at offset {at}; copy the file with its bytes written out \
                 (cp --sparse=never --reflink=never)"
            ),
            Self::PageGranular(guarantee) => write!(
                f,
                "can only be made persistent in whole pages: {}; {}, or allow page granularity",
                guarantee.reason,
                guarantee.advice.unwrap_or("use a file on DAX"),
            ),
            Self::Writeback { at, len, errno } => write!(
                f,
                "the write-back of {len} bytes at offset {at} failed: {}; the bytes stored there may be lost: \
                 check the device and its space, reopen the file, and write them again from elsewhere",
                io::Error::from_raw_os_error(*errno),
            ),
            Self::Poisoned { at, len } => write!(
                f,
                "{len} bytes at offset {at} cannot be read; restore them from elsewhere into another file (the kernel's log, \
                 dmesg, has the cause; `ndctl clear-errors` clears bad blocks of persistent memory)"
            ),
            Self::NotFlushed => {
                f.write_str("was persisted, but the medium's own buffers were not flushed; flush them as root")
            }
            Self::Unknown => f.write_str("a fact about the file is unknown"),
            Self::Os { call, errno } => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(f, "{call} failed: {error}; look for the cause in the system's log{shows_log}")
            }
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Inner { path, kind, text, .. } = &*self.inner;
        let path = path.display();
        let words = match text {
            Some(text) => format!("{path}: {text}"),
            None => format!("{path}: {kind}"),
        };
        // A name, also one in the text, can contain escape sequences of a terminal.
        f.write_str(&printable(&words))
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if f.alternate() {
            let Inner { path, kind, text, errno } = &*self.inner;
            let mut fields = f.debug_struct("Error");
            fields.field("path", path).field("kind", kind).field("text", text);
            return fields.field("errno", errno).finish();
        }
        core::fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Error {}

impl From<Error> for io::Error {
    /// Wraps the error and keeps its message. [`io::Error::kind`] is the matching one; [`Error::raw_os_error`] has the
    /// system's number.
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind, System};
    use alloc::format;
    use alloc::string::ToString;
    use std::io;
    use std::path::Path;

    fn error(kind: ErrorKind) -> Error {
        Error::new(Path::new("/mnt/log"), kind)
    }

    #[test]
    fn a_program_of_io_errors_sees_the_fitting_kind_and_the_whole_message() {
        for (kind, expected) in [
            (ErrorKind::NotFound, io::ErrorKind::NotFound),
            (ErrorKind::Exists, io::ErrorKind::AlreadyExists),
            (ErrorKind::Locked, io::ErrorKind::ResourceBusy),
            (ErrorKind::NoSpace { len: 1 }, io::ErrorKind::StorageFull),
            (ErrorKind::Shorter { size: 1, needed: 2 }, io::ErrorKind::InvalidData),
            (ErrorKind::Poisoned { at: 0, len: 512 }, io::ErrorKind::InvalidData),
            (ErrorKind::InvalidInput, io::ErrorKind::InvalidInput),
            (ErrorKind::Unsupported, io::ErrorKind::Unsupported),
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

    /// `EACCES` is 13 on every system that this test runs on (`asm-generic/errno-base.h`).
    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_of_the_system_keeps_its_number_and_kind() {
        use core::error::Error as _;
        let flush = error(ErrorKind::NotFlushed).numbered(13);
        assert_eq!(flush.raw_os_error(), Some(13));
        let error = error(ErrorKind::Os { call: "statx", errno: 13 });
        assert_eq!(error.raw_os_error(), Some(13));
        let words = io::Error::from_raw_os_error(13).to_string();
        assert!(error.to_string().starts_with(&format!("/mnt/log: statx failed: {words}")));
        assert!(error.source().is_none(), "its message has the words of the system");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
    }

    /// `ESC` begins the escape sequences of a terminal (ECMA-48), and U+202E reorders text.
    #[test]
    fn names_in_the_path_and_in_the_text_are_printable() {
        let text = "permission denied: this user may not search /\u{1b}[2J\u{202e}";
        let error = Error::because(Path::new("/a\u{1b}[31m"), ErrorKind::PermissionDenied, text);
        let expected = "/a?[31m: permission denied: this user may not search /?[2J?";
        assert_eq!(error.to_string(), expected);
        assert_eq!(format!("{error:?}"), expected);
    }

    struct On(ErrorKind, &'static str);

    impl core::fmt::Display for On {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            self.0.write(f, &System::named(self.1))
        }
    }

    #[test]
    fn remedies_are_those_of_the_system() {
        let full = || ErrorKind::NoSpace { len: 1 };
        let failed = || ErrorKind::Os { call: "a call", errno: 5 };
        assert!(On(full(), "linux").to_string().contains("(df -h, df -i)"));
        assert!(On(failed(), "linux").to_string().contains("(dmesg)"));
        for system in ["macos", "windows"] {
            for kind in [full(), ErrorKind::NoSpace { len: 0 }, failed()] {
                let text = On(kind, system).to_string();
                assert!(!text.contains("df -") && !text.contains("dmesg"), "{system}: {text}");
            }
            assert!(!System::named(system).locks.contains("NFS"));
        }
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
