//! Directories and files below a root, reached by descriptors.
//!
//! Any program with the right to write there can exchange a part of a path for a symbolic link between two calls. So
//! the kernel resolves a path below a root without links and without leaving the root (openat2(2), since Linux 5.6).
//! Without that call each step opens one name in an open directory, and no step follows a link. Every file that is
//! opened was in a directory that was reached from the root by its own names. The root's own path is the caller's. Its
//! parents are followed, and its last name is not.
//!
//! A file system that is mounted below a root is not asked. Its server can be gone, or be a program of another user
//! that never answers (FUSE), and the call would wait for it without an end. Two cases are left:
//!
//! - Without openat2(2) a name is opened before a mount there is known. NFS and 9p can ask their server then, and an
//!   automount that is under way is waited for (Linux, `fs/namei.c`, `complete_walk`; `fs/autofs/root.c`,
//!   `autofs_d_manage`).
//! - Linux 6.18 does not trigger automounts with `RESOLVE_NO_XDEV`. Kernels without that fix wait in openat2(2) for such an
//!   automount, too. They begin one that has replaced a file, or a directory above the last name, since that was found
//!   (Linux, `fs/namei.c`, `__traverse_mounts`, `follow_automount`).

use super::super::system::files;
use super::super::{Error, ErrorKind};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

/// Bytes of the longest path that the kernel takes, with the zero at its end (Linux, `include/uapi/linux/limits.h`).
///
/// Directories with longer paths are not read. A program can nest them without an end, by relative paths, and each
/// opening walks through each level: the work would be quadratic in the depth.
pub(super) const PATH_MAX: usize = 4096;

/// The flags that open a name without asking for its contents. A directory is not demanded: that would mount at a name
/// with an automount, before the mount is refused (Linux before 6.18, `fs/namei.c`, `follow_automount`).
const ANYTHING: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Descriptors that are left for directories, so that a process that may open no more files still finds them.
const SPARE: u64 = 32;

/// Opens a directory below a root to read it; the root itself, if the path is empty.
///
/// # Errors
/// `ENOTDIR` or `ELOOP` for a part that is something else than a directory; `ENOENT` for one that is not below the root, or
/// not any more; `EXDEV` for one at which something is mounted.
pub(super) fn directory(root: &Path, below: &Path) -> Result<OwnedFd, Errno> {
    if below.as_os_str().is_empty() {
        return open(CWD, root, OFlags::RDONLY);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let root_itself = open(CWD, root, OFlags::PATH)?;
    match rustix::fs::openat2(root_itself, below, ANYTHING, Mode::empty(), resolve) {
        Ok(reached) => open(&reached, Path::new("."), OFlags::RDONLY),
        // Older kernels, and containers whose filter of system calls is older than the call. EXDEV has two causes: a
        // mount, or a move out of the root meanwhile (Linux, `fs/namei.c`, `handle_mounts` and `complete_walk`).
        Err(Errno::NOSYS | Errno::PERM | Errno::XDEV) => by_steps(root, below),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory below a root by one step for each level.
fn by_steps(root: &Path, below: &Path) -> Result<OwnedFd, Errno> {
    let mut reached = open(CWD, root, OFlags::PATH)?;
    for part in below.components() {
        reached = name(&reached, part.as_os_str())?;
    }
    open(&reached, Path::new("."), OFlags::RDONLY)
}

/// Opens a directory to search or to read it.
fn open(parent: impl AsFd, name: &Path, purpose: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, purpose | flags, Mode::empty())
}

/// Opens a name of a directory, whatever it is of, without asking a file system that is mounted there.
///
/// # Errors
/// `EXDEV` for a name at which something is mounted.
pub(super) fn name(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat2(&parent, name, ANYTHING, Mode::empty(), ResolveFlags::NO_XDEV) {
        Err(Errno::NOSYS | Errno::PERM) => name_by_openat(parent, name),
        opened => opened,
    }
}

/// Opens a name in the same manner without openat2(2).
fn name_by_openat(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let open = rustix::fs::openat(&parent, name, ANYTHING, Mode::empty())?;
    if is_mounted_in(&parent, &open)? { Err(Errno::XDEV) } else { Ok(open) }
}

/// Returns true if something is mounted at an open name of a directory.
fn is_mounted_in(parent: impl AsFd, open: impl AsFd) -> Result<bool, Errno> {
    let own = cached(open)?;
    if own.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(own.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Before Linux 5.8.
    let device = |of: &Statx| (of.stx_dev_major, of.stx_dev_minor);
    Ok(device(&cached(parent)?) != device(&own))
}

/// Returns the facts that the kernel has, without asking the file system if that can do so. 9p asks its server (Linux,
/// `fs/9p/vfs_inode.c`, `v9fs_vfs_getattr`).
fn cached(open: impl AsFd) -> Result<Statx, Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(open, c"", flags, StatxFlags::empty())
}

/// Opens a directory by a path that its caller answers for: links are followed.
pub(super) fn parent(path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Opens a file of a directory for reading, and a mounted one only if it is to be `crossed` to.
pub(super) fn file(
    parent: impl AsFd,
    name: &OsStr,
    path: &Path,
    crossed: bool,
) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let flags = flags | OFlags::NOCTTY;
    let resolve = if crossed { ResolveFlags::empty() } else { ResolveFlags::NO_XDEV };
    let opened = match rustix::fs::openat2(&parent, name, flags, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(&parent, name, flags, Mode::empty()),
        opened => opened,
    };
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
    use super::{by_steps, directory, name, name_by_openat};
    use core::sync::atomic::AtomicBool;
    use core::sync::atomic::Ordering::Relaxed;
    use rustix::fs::{Stat, fstat, stat};
    use rustix::io::Errno;
    use std::ffi::OsStr;
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
    fn both_ways_refuse_a_name_at_which_something_is_mounted() {
        let test = "both_ways_refuse_a_name_at_which_something_is_mounted";
        if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
            return crate::skip::skip(test, "user-mode emulation has another root");
        }
        let root = fs::File::open("/").unwrap();
        let is_mounted = |name: &str| {
            fstat(&root).unwrap().st_dev != stat(Path::new("/").join(name)).unwrap().st_dev
        };
        if !is_mounted("proc") {
            return crate::skip::skip(test, "nothing is mounted at /proc");
        }
        let by_both =
            |part| [name(&root, OsStr::new(part)), name_by_openat(&root, OsStr::new(part))];
        assert!(by_both("proc").iter().all(|opened| matches!(opened, Err(Errno::XDEV))));
        assert!(by_both("etc").iter().all(Result::is_ok));
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
