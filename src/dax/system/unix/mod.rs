//! Files on Unix: opened without following a symbolic link, for this user alone, under a name that is
//! made durable.

#[cfg(target_os = "netbsd")]
#[expect(
    unsafe_code,
    reason = "a sync that flushes the drive's cache is a call that no safe wrapper offers"
)]
pub(in crate::dax) mod netbsd;
mod new_file;

#[cfg(target_os = "netbsd")]
pub(in crate::dax) use netbsd::sync_all;
pub(in crate::dax) use new_file::NewFile;

use super::Access;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::{InvalidInput, file};
use alloc::format;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The calls, as errors name them.
pub(in crate::dax) const LOCK: &str = "flock";
pub(in crate::dax) const METADATA: &str = "fstat";
pub(in crate::dax) const SET_LEN: &str = "ftruncate";
pub(in crate::dax) const SYNC: &str = "fsync";

/// The number that stands for an error that has none.
const NO_NUMBER: Errno = Errno::IO;

/// Returns the unit of offsets, and of write-backs.
pub(in crate::dax) fn page_size() -> usize {
    rustix::param::page_size()
}

/// Opens a file without a name in a directory, with mode 0600. It is gone when it is closed, unless it gets a name.
#[cfg(target_os = "linux")]
pub(in crate::dax) fn unnamed_in(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Opens a file; not what a symbolic link leads to.
pub(in crate::dax) fn open(path: &Path, access: Access) -> io::Result<File> {
    let access = match access {
        Access::Read => OFlags::RDONLY,
        Access::ReadAndWrite => OFlags::RDWR,
    };
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, access | flags, Mode::empty())?.into())
}

/// Opens a file to look at it.
pub(in crate::dax) fn open_to_look(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Returns the name that the system has for an open file.
pub(in crate::dax) fn name_of(file: &File) -> PathBuf {
    #[cfg(target_os = "linux")]
    if let Ok(name) = std::fs::read_link(path_of(file)) {
        return name;
    }
    format!("file descriptor {}", file.as_raw_fd()).into()
}

/// Returns a path of an open file by its descriptor. Threads can have descriptors of their own.
#[cfg(target_os = "linux")]
pub(in crate::dax) fn path_of(file: &impl AsRawFd) -> PathBuf {
    format!("/proc/thread-self/fd/{}", file.as_raw_fd()).into()
}

/// Refuses a descriptor that does not permit the mapping, or that does not write at the offsets that are asked for.
pub(in crate::dax) fn require_access(
    path: &Path,
    file: &File,
    access: Access,
) -> Result<(), Error> {
    let flags =
        rustix::fs::fcntl_getfl(file).map_err(|errno| Error::os(path, "fcntl", &errno.into()))?;
    let writes = access == Access::ReadAndWrite;
    let mode = match flags & OFlags::RWMODE {
        #[cfg(target_os = "linux")]
        _ if flags.contains(OFlags::PATH) => "with O_PATH",
        _ if writes && flags.contains(OFlags::APPEND) => "with O_APPEND",
        OFlags::RDONLY if writes => "for reading only",
        OFlags::WRONLY => "for writing only",
        _ => return Ok(()),
    };
    Err(Error::new(path, ErrorKind::InvalidInput(InvalidInput::Descriptor { mode })))
}

/// Syncs a file.
#[cfg(not(target_os = "netbsd"))]
pub(in crate::dax) fn sync_all(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Writes all bytes at an offset, and leaves the position of the file.
pub(in crate::dax) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

/// Returns the meaning of a failure to open a file, if it is known.
pub(in crate::dax) fn meaning(error: &io::Error) -> Option<ErrorKind> {
    Some(match Errno::from_io_error(error)? {
        Errno::NOENT => ErrorKind::Missing,
        Errno::NOTDIR => ErrorKind::NotADirectory,
        Errno::EXIST => ErrorKind::Exists,
        // The latter is FreeBSD's (open(2), O_NOFOLLOW).
        Errno::LOOP | Errno::MLINK => ErrorKind::SymbolicLink,
        Errno::ISDIR => ErrorKind::Directory,
        Errno::NXIO | Errno::NODEV => ErrorKind::NotRegular,
        Errno::ACCESS | Errno::PERM => ErrorKind::NoPermission,
        Errno::ROFS => ErrorKind::ReadOnlyFileSystem,
        Errno::MFILE => too_many_files(),
        _ => return None,
    })
}

/// Returns the error of a process that has as many files open as it may.
pub(in crate::dax) fn too_many_files() -> ErrorKind {
    ErrorKind::TooManyFiles { most: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) }
}

/// Returns the system's number of an error.
pub(in crate::dax) fn number(error: &io::Error) -> i32 {
    Errno::from_io_error(error).unwrap_or(NO_NUMBER).raw_os_error()
}

/// Returns true for the error of a sync that the file system does not have: no byte is lost by it. macOS syncs by
/// `F_FULLFSYNC`, which some file systems do not have (`fcntl(2)`).
pub(in crate::dax) fn is_without_syncs(errno: i32) -> bool {
    let numbers = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOTTY];
    numbers.map(Errno::raw_os_error).contains(&errno)
}

/// Returns the fault of an open file with this metadata, if it has one: its name may be gone, so persisted bytes could
/// not be found again.
pub(in crate::dax) fn fault(metadata: &Metadata) -> Option<ErrorKind> {
    (metadata.nlink() == 0).then_some(ErrorKind::Missing)
}

/// Returns true for a regular file without a name: a memfd, one from `O_TMPFILE`, or one that was unlinked.
pub(in crate::dax) fn is_nameless(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.nlink() == 0
}

/// Refuses a length beyond the limit of this process, since the system would send it a signal that ends it
/// by default (POSIX, `setrlimit`: SIGXFSZ).
pub(in crate::dax) fn check_limit(len: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if len > limit => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}

/// Makes the name of a new file durable.
pub(in crate::dax) fn persist_name(path: &Path, file: &File) -> Result<(), Error> {
    let directory = open_directory_of(path).map_err(|error| opening_directory(path, &error))?;
    sync_directory(&directory, file).map_err(|error| syncing_directory(path, &error))
}

/// Makes the name of an open file with this metadata durable, if the path is its name, this user may read the directory, and
/// the file system syncs directories.
pub(in crate::dax) fn persist_name_of(
    path: &Path,
    file: &File,
    metadata: &Metadata,
) -> Result<(), Error> {
    let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    // The system's name of an open file can be one that the file had before, or a description.
    if !path.symlink_metadata().is_ok_and(|there| identity(&there) == identity(metadata)) {
        return Ok(());
    }
    let directory = match open_directory_of(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        opened => opened.map_err(|error| opening_directory(path, &error))?,
    };
    match sync_directory(&directory, file) {
        Err(error) if file::syncs_nothing(&error) => Ok(()),
        synced => synced.map_err(|error| syncing_directory(path, &error)),
    }
}

/// Opens the directory that has the name. On macOS fsync alone stops before the drive, so it is synced by the standard
/// library's call.
fn open_directory_of(path: &Path) -> io::Result<File> {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory_of(path), directory, Mode::empty())?.into())
}

/// Syncs a directory, and with it the drive that a file in it is on. NetBSD flushes the drive's cache only for a
/// descriptor that is open for writing, as that of a directory cannot be.
fn sync_directory(directory: &File, file: &File) -> io::Result<()> {
    directory.sync_all()?;
    if cfg!(target_os = "netbsd") { sync_all(file) } else { Ok(()) }
}

fn opening_directory(path: &Path, error: &io::Error) -> Error {
    Error::os(path, "open of its directory", error)
}

fn syncing_directory(path: &Path, error: &io::Error) -> Error {
    Error::os(path, "fsync of its directory", error)
}

/// Returns the directory that has the name.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
