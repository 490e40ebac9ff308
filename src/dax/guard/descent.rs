//! Directories and files below a root, reached by descriptors.
//!
//! Any program with the right to write there can exchange a part of a path for a symbolic link between two calls. So
//! the kernel resolves a path below a root without links and without leaving the root (openat2(2), since Linux 5.6).
//! Without that call each step opens one name in an open directory, and no step follows a link. Every file that is
//! opened was in a directory that was reached from the root by its own names. The root's own path is the caller's. Its
//! parents are followed, and its last name is not.

use super::super::system::files;
use super::super::{Error, ErrorKind};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// Bytes of the longest path that the kernel takes, with the zero at its end (Linux, `include/uapi/linux/limits.h`).
///
/// Directories with longer paths are not read. A program can nest them without an end, by relative paths, and each
/// opening walks through each level: the work would be quadratic in the depth.
pub(super) const PATH_MAX: usize = 4096;

/// Descriptors that are left for directories, so that a process that may open no more files still finds them.
const SPARE: u64 = 32;

/// Opens a directory below a root to read it; the root itself, if the path is empty.
///
/// # Errors
/// `ENOTDIR` or `ELOOP` for a part that is something else than a directory; `ENOENT` for one that is not below the root, or
/// not any more.
pub(super) fn directory(root: &Path, below: &Path) -> Result<OwnedFd, Errno> {
    if below.as_os_str().is_empty() {
        return open(CWD, root, true);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(open(CWD, root, false)?, below, flags, Mode::empty(), resolve) {
        // Older kernels, and containers whose filter of system calls is older than the call.
        Err(Errno::NOSYS | Errno::PERM) => by_steps(root, below),
        // It was moved out of the root meanwhile (Linux, `fs/namei.c`, `complete_walk`).
        Err(Errno::XDEV) => Err(Errno::NOENT),
        opened => opened,
    }
}

/// Opens a directory below a root by one call for each level.
fn by_steps(root: &Path, below: &Path) -> Result<OwnedFd, Errno> {
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

#[cfg(all(test, not(miri)))]
mod tests {
    use super::{by_steps, directory};
    use core::sync::atomic::AtomicBool;
    use core::sync::atomic::Ordering::Relaxed;
    use rustix::fs::{Stat, fstat, stat};
    use rustix::io::Errno;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn is_same(one: &Stat, other: &Stat) -> bool {
        (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    }

    #[test]
    fn both_ways_reach_directories_by_their_own_names_alone() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        let outside = place.path().join("outside");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(outside.join("b")).unwrap();
        fs::write(root.join("a/file"), []).unwrap();
        symlink(&outside, root.join("a/out")).unwrap();
        symlink("b", root.join("a/near")).unwrap();
        for way in [directory, by_steps] {
            for below in ["", "a", "a/b"] {
                let found = fstat(way(&root, Path::new(below)).unwrap()).unwrap();
                assert!(is_same(&found, &stat(root.join(below)).unwrap()), "{below:?}");
            }
            for below in ["a/out", "a/out/b", "a/near", "a/file", "a/file/b"] {
                let refused = way(&root, Path::new(below)).unwrap_err();
                assert!(matches!(refused, Errno::NOTDIR | Errno::LOOP), "{below:?}: {refused}");
            }
            assert_eq!(way(&root, Path::new("a/missing")).unwrap_err(), Errno::NOENT);
        }
    }

    #[test]
    fn a_directory_that_is_moved_out_of_the_root_meanwhile_is_missing() {
        let place = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (place.path().join("root"), place.path().join("elsewhere"));
        let below = "a/".repeat(50);
        fs::create_dir_all(root.join(&below)).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    fs::rename(root.join("a"), &elsewhere).unwrap();
                    fs::rename(&elsewhere, root.join("a")).unwrap();
                }
            });
            let opened = (0..2000).map(|_| directory(&root, Path::new(&below)));
            let other = opened.filter_map(Result::err).find(|error| *error != Errno::NOENT);
            is_over.store(true, Relaxed);
            assert_eq!(other, None);
        });
    }
}
