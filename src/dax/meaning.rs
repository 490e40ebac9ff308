//! The meaning of each system error: the kind, the fact, and the remedy.
//!
//! A cause is named only if the error names it, or if it was found by asking for the modes of the path or the file
//! system's free inodes. Other errors keep the system's words.

use super::decide::NEWER;
use super::error::{ErrorKind, IS_DIRECTORY, IS_SYMLINK};
use super::system::files::{self, directory_of};
use super::system::host;
use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use std::io;
use std::path::Path;

/// Returns the kind of a failed call about a path, and the fact with the remedy, if the words of the kind are not
/// enough. `kind` is the kind without knowledge of the call.
pub(super) fn meaning(
    path: &Path,
    call: &'static str,
    error: &io::Error,
    kind: ErrorKind,
) -> (ErrorKind, Option<Cow<'static, str>>) {
    let errno = Errno::from_io_error(error).unwrap_or(files::NO_NUMBER);
    match (errno, call) {
        (Errno::LOOP, "open") => (ErrorKind::NotAFile, Some(IS_SYMLINK.into())),
        (Errno::NXIO | Errno::NODEV, "open") => (ErrorKind::NotAFile, None),
        (Errno::INVAL, "write" | "ftruncate" | "mmap") if is_on_huge_pages(path) => (
            ErrorKind::InvalidInput,
            Some("its file system has only huge pages; ask for a multiple of their size, mostly 2 MiB".into()),
        ),
        (Errno::NODEV | Errno::INVAL | Errno::IO, "mmap") => (
            ErrorKind::Unsupported,
            Some(
                "cannot be mapped: its file system refuses that; mount it with a page cache (FUSE without direct_io, 9p with \
                 cache=mmap), or use another file system"
                    .into(),
            ),
        ),
        (Errno::NOSYS, _) => {
            let text = format!("this kernel does not know {call}, or a system-call filter hides it; {NEWER}, or permit the call");
            (ErrorKind::Unsupported, Some(text.into()))
        }
        _ => (kind, words(path, errno, call)),
    }
}

/// Returns the fact and the remedy of an error whose cause its number does not tell, or tells wrongly.
fn words(path: &Path, errno: Errno, call: &str) -> Option<Cow<'static, str>> {
    let known = match errno {
        Errno::BUSY | Errno::XDEV if matches!(call, "rename" | "link") => {
            "cannot be replaced, since it is mounted by itself or lies in another mount; mount its directory instead, or \
             have it written in place"
        }
        Errno::NAMETOOLONG => "a part of the path is too long; use a shorter name",
        Errno::ISDIR => IS_DIRECTORY,
        Errno::ACCESS => return Some(denied(path)),
        Errno::PERM => {
            let text = format!(
                "{call} is not permitted, whatever its mode; check its attributes (lsattr), the seals of a memfd, the policy \
                 of the container or sandbox (seccomp, capabilities), and security modules (dmesg)"
            );
            return Some(text.into());
        }
        Errno::NOMEM if call == "mmap" => {
            "there is no memory or no room for the mapping; ask for less, or raise the limits (ulimit -v, vm.max_map_count)"
        }
        Errno::ROFS => "its file system is mounted read-only; remount it for writing",
        Errno::NOSPC if has_no_inode(path) => {
            "its file system has no free inode, though it may have space (df -i); remove files there"
        }
        Errno::FBIG => {
            "is longer than the file system allows, or than the limit of this process (ulimit -f); ask for less, or raise \
             the limit"
        }
        _ => return None,
    };
    Some(known.into())
}

/// Returns the fact and the remedy if the mode of a file, or of a directory of its path, denies something.
fn denied(path: &Path) -> Cow<'static, str> {
    if rustix::process::geteuid().is_root() {
        return "permission denied, although this is root; check the server of its file system (NFS: no_root_squash; \
                FUSE: allow_other), the capabilities of the container, and security modules (dmesg)"
            .into();
    }
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let closed = above.into_iter().find(|directory| {
        !directory.as_os_str().is_empty() && may(directory, Access::EXEC_OK) == Err(Errno::ACCESS)
    });
    if let Some(closed) = closed {
        let closed = closed.display();
        return format!(
            "permission denied: this user may not search {closed}; let its owner grant it (chmod +x)"
        )
        .into();
    }
    if path.symlink_metadata().is_ok() {
        return "permission denied by its mode; let its owner grant it (new files have mode 0600)"
            .into();
    }
    "permission denied: this user may not create files in its directory; let the owner of the directory grant it, or use another"
        .into()
}

/// Checks a permission of the effective user.
fn may(path: &Path, access: Access) -> Result<(), Errno> {
    rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS)
}

/// Returns true for a path in hugetlbfs.
fn is_on_huge_pages(path: &Path) -> bool {
    host::file_system_of_path(directory_of(path)) == "hugetlbfs"
}

/// Returns true if a file system has no free inode. One without a limit reports no inodes at all.
fn has_no_inode(path: &Path) -> bool {
    let found =
        rustix::fs::statvfs(path).or_else(|_missing| rustix::fs::statvfs(directory_of(path)));
    found.is_ok_and(|found| found.f_files > 0 && found.f_ffree == 0)
}
