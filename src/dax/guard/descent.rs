//! Directories and files below a root, reached by descriptors.
//!
//! Any program with the right to write there can exchange a part of a path for a symbolic link between two calls. So
//! no path below a root is handed to the kernel: each step opens one name in an open directory, and no step follows a
//! link. Every file that is opened was in a directory that was reached from the root by its own names. The root's own
//! path is the caller's. Its parents are followed, and its last name is not.

use super::super::system::files;
use super::super::{Error, ErrorKind};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// Bytes of the longest path that the kernel takes, with the zero at its end (Linux, `include/uapi/linux/limits.h`).
///
/// Directories with longer paths are not read. A program can nest them without an end, by relative paths, and each
/// opening takes a call for each level: the work would be quadratic in the depth.
pub(super) const PATH_MAX: usize = 4096;

/// Descriptors that are left for directories, so that a process that may open no more files still finds them.
const SPARE: u64 = 32;

/// Opens a directory below a root to read it; the root itself, if the path is empty.
///
/// # Errors
/// `ENOTDIR` or `ELOOP` for a part that is something else than a directory.
pub(super) fn directory(root: &Path, below: &Path) -> Result<OwnedFd, Errno> {
    let mut parts = below.components().peekable();
    let mut reached = open(CWD, root, parts.peek().is_none())?;
    while let Some(part) = parts.next() {
        reached = open(&reached, Path::new(part.as_os_str()), parts.peek().is_none())?;
    }
    Ok(reached)
}

/// Opens a directory on the way, for which the right to search it is enough, or the one that is read.
fn open(parent: impl rustix::fd::AsFd, name: &Path, is_last: bool) -> Result<OwnedFd, Errno> {
    let purpose = if is_last { OFlags::RDONLY } else { OFlags::PATH };
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, purpose | flags, Mode::empty())
}

/// Opens a directory by a path that its caller answers for: links are followed.
pub(super) fn parent(path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Opens a file of a directory for reading.
pub(super) fn file(parent: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::openat(parent, name, flags | OFlags::NOCTTY, Mode::empty());
    let file = File::from(opened.map_err(|errno| Error::opening(path, &errno.into()))?);
    // The lowest free number is given (open(2)).
    let number = u64::try_from(file.as_raw_fd()).unwrap_or_default();
    match files::too_many_files() {
        ErrorKind::TooManyFiles { most } if number.saturating_add(SPARE.min(most / 4)) >= most => {
            Err(Error::new(path, ErrorKind::TooManyFiles { most }))
        }
        _ => Ok(file),
    }
}
