//! Paths as a traced thread sees them: by its root, its working directory and its descriptors.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, PROC_SUPER_MAGIC, Stat};
use rustix::fs::{fstat, fstatfs, openat, readlinkat, statat};

use crate::tracee::Thread;

/// The number of symbolic links in a path that the kernel follows.
const LINKS: usize = 40;

/// A name in an open directory. An empty name is the open file itself.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) at: OwnedFd,
    pub(super) name: OsString,
}

/// The thread, and the directory and the root of its path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub(super) thread: Thread,
    pub(super) directory: i32,
    /// True if the path cannot leave the directory: `RESOLVE_IN_ROOT`.
    pub(super) is_rooted: bool,
}

/// Returns the path of a thread's descriptor, or of its working directory.
pub(super) fn fd_path(thread: Thread, fd: i32) -> PathBuf {
    match fd {
        libc::AT_FDCWD => format!("/proc/{thread}/cwd").into(),
        _ => format!("/proc/{thread}/fd/{fd}").into(),
    }
}

/// Opens a file without access to its content.
fn opened(path: &Path) -> Option<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

impl Name {
    /// Returns the file that has the name.
    pub(super) fn stat(&self) -> Option<Stat> {
        statat(&self.at, &*self.name, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// Returns a path of the name for this process.
    pub(super) fn path(&self) -> PathBuf {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", self.at.as_raw_fd()));
        // An empty name would add a slash.
        path.extend((!self.name.is_empty()).then_some(&self.name));
        path
    }

    /// Returns the file of a descriptor.
    pub(super) fn of_fd(thread: Thread, fd: i32) -> Option<Self> {
        Some(Self { at: opened(&fd_path(thread, fd))?, name: OsString::new() })
    }

    /// Walks a path, and returns its last component. A symbolic link there is followed if asked.
    pub(super) fn find(base: Base, path: &[u8], follows: bool) -> Option<Self> {
        let thread = base.thread;
        let start = || opened(&fd_path(thread, base.directory));
        let root = if base.is_rooted {
            start()?
        } else {
            opened(Path::new(&format!("/proc/{thread}/root")))?
        };
        let mut left = components(path);
        let mut at = if path.starts_with(b"/") { root.try_clone().ok()? } else { start()? };
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == ".." && is_same(&at, &root)? {
                continue;
            }
            let is_last = left.is_empty();
            let link = readlinkat(&at, &*name, Vec::new()).ok().filter(|_| follows || !is_last);
            let Some(target) = link else {
                if is_last {
                    return Some(Self { at, name });
                }
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                at = openat(&at, &*name, flags, Mode::empty()).ok()?;
                continue;
            };
            links += 1;
            if links > LINKS {
                return None;
            }
            if fstatfs(&at).ok()?.f_type == PROC_SUPER_MAGIC {
                // These links have no text: the kernel knows where they lead. `self` is the process that asks.
                at = match name.as_bytes() {
                    b"self" | b"thread-self" => opened(Path::new(&format!("/proc/{thread}")))?,
                    _ => openat(&at, &*name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?,
                };
                continue;
            }
            if target.as_bytes().starts_with(b"/") {
                at = root.try_clone().ok()?;
            }
            left.extend(components(target.as_bytes()));
        }
        Some(Self { at, name: OsString::new() })
    }
}

/// Returns the components of a path, the last one first.
fn components(path: &[u8]) -> Vec<OsString> {
    let path = Path::new(OsStr::from_bytes(path));
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    });
    names.map(|name| OsString::from_vec(name.as_bytes().to_vec())).collect()
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> Option<bool> {
    let (one, other) = (fstat(one).ok()?, fstat(other).ok()?);
    Some((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
