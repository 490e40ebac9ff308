//! Files on Linux: opened without following a symbolic link, created only for this user, filled with zeros, and named
//! durably.

pub(in crate::dax) use super::new_file::{create, give_name};

use super::super::{Access, Failed};
use super::ask::{HUGETLBFS, file_system_of, flags_of};
use crate::system::calls::uninterrupted;
use crate::system::limits;
use alloc::format;
use core::ops::Range;
use rustix::fs::{FallocateFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The names of the calls in errors.
pub(in crate::dax) const LOCK: &str = "flock";
pub(in crate::dax) const METADATA: &str = "fstat";
pub(in crate::dax) const SET_LEN: &str = "ftruncate";
pub(in crate::dax) const SYNC: &str = "fsync";
pub(in crate::dax) const LINK: &str = "linkat";

/// The number for an error that has none.
pub(in crate::dax) const NO_NUMBER: Errno = Errno::IO;

/// The number of zeros written at a time.
const CHUNK: usize = 1 << 20;

/// Returns the unit of offsets, and of write-backs.
pub(in crate::dax) fn page_size() -> usize {
    rustix::param::page_size()
}

const UNNAMED: OFlags = OFlags::RDWR.union(OFlags::TMPFILE).union(OFlags::CLOEXEC);

/// Opens a file without a name in a directory, with mode 0600. It is gone when it is closed, unless it gets a name.
pub(super) fn unnamed_in(directory: &Path) -> Result<File, Errno> {
    uninterrupted(|| rustix::fs::open(directory, UNNAMED, Mode::RUSR | Mode::WUSR)).map(File::from)
}

/// Opens such a file in an open directory.
pub(super) fn unnamed_at(directory: &File) -> Result<File, Errno> {
    let open = || rustix::fs::openat(directory, c".", UNNAMED, Mode::RUSR | Mode::WUSR);
    uninterrupted(open).map(File::from)
}

/// Opens a file, without following a symbolic link.
pub(in crate::dax) fn open(path: &Path, access: Access) -> io::Result<File> {
    let access = flags_of(access);
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(uninterrupted(|| rustix::fs::open(path, access | flags, Mode::empty()))?.into())
}

/// Opens a file or a directory only to ask about it.
pub(in crate::dax) fn open_to_look(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(uninterrupted(|| rustix::fs::open(path, flags, Mode::empty()))?.into())
}

/// Opens an open file again for reading and writing; `None` if this user may not.
pub(in crate::dax) fn reopened_to_write(file: &File) -> Option<File> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    uninterrupted(|| rustix::fs::open(path_of(file), flags, Mode::empty())).ok().map(File::from)
}

/// Returns the access that an open file permits.
pub(in crate::dax) fn permitted(file: &File) -> Access {
    let is_writable = access_of(file).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR);
    if is_writable { Access::ReadAndWrite } else { Access::Read }
}

/// Returns the system's name for an open file.
pub(in crate::dax) fn name_of(file: &File) -> PathBuf {
    std::fs::read_link(path_of(file))
        .unwrap_or_else(|_| format!("file descriptor {}", file.as_raw_fd()).into())
}

/// Returns a path to an open file by its descriptor, for the calling thread, since threads can have their own
/// descriptors.
pub(in crate::dax) fn path_of(file: &impl AsRawFd) -> PathBuf {
    format!("/proc/thread-self/fd/{}", file.as_raw_fd()).into()
}

/// Returns the flags with which a descriptor was opened.
pub(super) fn access_of(file: &File) -> Result<OFlags, Errno> {
    rustix::fs::fcntl_getfl(file)
}

/// Returns the mode of a descriptor that does not permit a mapping for this access, or that does not write at given
/// offsets (`O_APPEND`); `None` if it does.
pub(in crate::dax) fn unfit(file: &File, access: Access) -> Result<Option<&'static str>, Failed> {
    let flags = access_of(file).map_err(|errno| Failed::new("fcntl", &errno.into()))?;
    let writes = access == Access::ReadAndWrite;
    Ok(match flags & OFlags::RWMODE {
        _ if flags.contains(OFlags::PATH) => Some("with O_PATH"),
        _ if writes && flags.contains(OFlags::APPEND) => Some("with O_APPEND"),
        OFlags::RDONLY if writes => Some("for reading only"),
        OFlags::WRONLY => Some("for writing only"),
        _ => None,
    })
}

/// Returns the system's number of an error.
pub(in crate::dax) fn number(error: &io::Error) -> i32 {
    Errno::from_io_error(error).unwrap_or(NO_NUMBER).raw_os_error()
}

/// Returns true for the error of a file system without syncs (`fs/sync.c`, `vfs_fsync_range`), such as most read-only
/// ones. It loses no byte.
///
/// `EROFS` is not among them: on ext4 it means that the file system has stopped after an error. A healthy read-only
/// mount has nothing to sync, and succeeds (`fs/ext4/fsync.c`, `ext4_sync_file`).
pub(in crate::dax) fn is_without_syncs(errno: i32) -> bool {
    let numbers = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    numbers.map(Errno::raw_os_error).contains(&errno)
}

/// Appends zeros to a file, and does not sync them.
///
/// The file grows with its zeros: they are written and not just allocated, so that no length, now or after a crash,
/// covers bytes without a written block. Space is reserved first, in as few extents as possible. The file position does
/// not move, since another process may have a duplicate.
pub(in crate::dax) fn write_zeros(file: &File, range: &Range<u64>) -> io::Result<()> {
    check_limit(range.end)?;
    reserve(file, range)?;
    // hugetlbfs has no writes, and its pages are zeros (`fs/hugetlbfs/inode.c`).
    if rustix::fs::fstatfs(file).is_ok_and(|found| file_system_of(&found) == HUGETLBFS) {
        return file.set_len(range.end);
    }
    let zeros = alloc::vec![0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let rest = usize::try_from(range.end - at).unwrap_or(CHUNK);
        let chunk = zeros.get(..rest).unwrap_or(&zeros);
        file.write_all_at(chunk, at)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

/// Refuses a length beyond the limit of this process, since the system would send a signal that by default ends the
/// process (setrlimit(2), `SIGXFSZ`).
fn check_limit(len: u64) -> io::Result<()> {
    match limits::file_size().and_then(|limit| limit.current) {
        Some(limit) if len > limit => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}

/// Reserves space for these bytes. The file keeps its length.
fn reserve(file: &File, range: &Range<u64>) -> io::Result<()> {
    let len = range.end - range.start;
    let reserved =
        uninterrupted(|| rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, range.start, len));
    match reserved {
        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(errno.into()),
        // A reservation is a hint; the writes report what it could not do.
        _ => Ok(()),
    }
}

/// Sets the modification time to now, which stores through a mapping may not do. If the access time is set too, the
/// right to write suffices (utimensat(2)). A failure only delays a backup, and is not an error.
pub(in crate::dax) fn touch(file: impl AsFd) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    rustix::fs::futimens(file, &times).unwrap_or(());
}

/// Makes the name of a file durable, if this user may read the directory, and the file system syncs directories.
pub(in crate::dax) fn persist_name(path: &Path) -> Result<(), Failed> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = uninterrupted(|| rustix::fs::open(directory_of(path), flags, Mode::empty()));
    let directory = match opened {
        Err(Errno::ACCESS | Errno::PERM) => return Ok(()),
        Err(errno) => return Err(Failed::new("open of its directory", &errno.into())),
        Ok(directory) => File::from(directory),
    };
    match directory.sync_all() {
        Err(error) if is_without_syncs(number(&error)) => Ok(()),
        synced => synced.map_err(|error| Failed::new("fsync of its directory", &error)),
    }
}

/// Returns true if the path names the open file, not through a link.
pub(in crate::dax) fn is_name_of(path: &Path, file: &File) -> bool {
    let (Ok(own), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (own.dev(), own.ino()) == (there.dev(), there.ino())
}

/// Returns the directory of the name.
pub(in crate::dax) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
