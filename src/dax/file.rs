//! Files before they are mapped: created whole or opened and checked, and locked.
//!
//! Everything is checked by descriptor, so that the file that was checked is the one that is mapped.

use super::error::{Error, ErrorKind};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// How many zeros are written at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// Refuses a length that no file can have.
pub(super) fn check_new_len(path: &Path, len: u64) -> Result<(), Error> {
    if len == 0 {
        return Err(Error::new(path, ErrorKind::ZeroLength));
    }
    if i64::try_from(len).is_err() {
        return Err(Error::new(path, ErrorKind::Overflow { offset: 0, len }));
    }
    Ok(())
}

/// Creates an empty file for this user alone.
pub(super) fn create(path: &Path) -> Result<File, Error> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| match errno {
            Errno::NOENT => Error::new(path, ErrorKind::NoDirectory),
            errno => Error::opening(path, errno),
        })?;
    Ok(File::from(file))
}

/// Gives a new file `len` zero bytes, which are on the medium, with its name, when this returns.
///
/// Zeros are written, not just allocated: an extent that was allocated and never written makes the
/// file system commit its journal at the first store to each of its pages.
pub(super) fn fill(path: &Path, file: &File, len: u64) -> Result<(), Error> {
    write_zeros(path, file, len)?;
    sync_directory(path)
}

/// Opens a file to be mapped from `offset`, checks it, and locks it; gives the length of the mapping.
pub(super) fn open(
    path: &Path,
    offset: u64,
    len: Option<u64>,
    page: u64,
) -> Result<(File, usize), Error> {
    require_regular_name(path)?;
    let flags =
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::opening(path, errno))?;
    let file = File::from(file);
    regular_size(path, &file)?;
    lock(path, &file)?;
    // The one that held the lock before may have removed it, or changed its size.
    require_name(path, &file)?;
    let size = regular_size(path, &file)?;
    let len = checked_len(size, offset, len, page).map_err(|kind| Error::new(path, kind))?;
    Ok((file, len))
}

/// The length of the mapping of a file of `size` bytes.
pub(super) fn checked_len(
    size: u64,
    offset: u64,
    len: Option<u64>,
    page: u64,
) -> Result<usize, ErrorKind> {
    if size == 0 {
        return Err(ErrorKind::Empty);
    }
    if len == Some(0) {
        return Err(ErrorKind::ZeroLength);
    }
    if !offset.is_multiple_of(page) {
        return Err(ErrorKind::Misaligned { offset, alignment: page });
    }
    let needed = match len {
        Some(len) => offset.checked_add(len).ok_or(ErrorKind::Overflow { offset, len })?,
        None => offset.saturating_add(1),
    };
    if needed > size {
        return Err(ErrorKind::Shorter { size, needed });
    }
    let len = len.unwrap_or(size - offset);
    usize::try_from(len).map_err(|_too_large| ErrorKind::Overflow { offset, len })
}

/// The size in bytes of what must be a regular file.
pub(super) fn regular_size(path: &Path, file: &File) -> Result<u64, Error> {
    let metadata = file.metadata().map_err(|error| from_io(path, "fstat", &error))?;
    if metadata.is_dir() {
        return Err(Error::new(path, ErrorKind::Directory));
    }
    if !metadata.is_file() {
        return Err(Error::new(path, ErrorKind::NotRegular));
    }
    Ok(metadata.len())
}

/// Refuses what is no regular file before it is opened, since opening a device can do something. What
/// was opened is checked again.
fn require_regular_name(path: &Path) -> Result<(), Error> {
    let there = path
        .symlink_metadata()
        .map_err(|error| Error::opening(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let kind = match there.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_symlink() => ErrorKind::SymbolicLink,
        kind if kind.is_dir() => ErrorKind::Directory,
        _ => ErrorKind::NotRegular,
    };
    Err(Error::new(path, kind))
}

/// Refuses a file whose name is gone: what is persisted in it could not be found again.
fn require_name(path: &Path, file: &File) -> Result<(), Error> {
    let metadata = file.metadata().map_err(|error| from_io(path, "fstat", &error))?;
    if metadata.nlink() == 0 {
        return Err(Error::new(path, ErrorKind::Missing));
    }
    Ok(())
}

/// Takes the lock of a file that was just created. Who opened it in between has it for a moment only,
/// since an empty file is refused.
pub(super) fn lock_new(path: &Path, file: &File) -> Result<(), Error> {
    file.lock().map_err(|error| from_io(path, "flock", &error))
}

/// Takes the exclusive lock (`flock`), which lasts until every descriptor of this open file is
/// closed.
fn lock(path: &Path, file: &File) -> Result<(), Error> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => Error::new(path, ErrorKind::Locked),
        TryLockError::Error(error) => from_io(path, "flock", &error),
    })
}

/// Writes zeros and has them on the medium.
fn write_zeros(path: &Path, file: &File, len: u64) -> Result<(), Error> {
    let no_space = |error: &io::Error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(path, ErrorKind::NoSpace { len })
        }
        _ => from_io(path, "write", error),
    };
    // Finds out at once whether there is room, where the file system can tell.
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
        // It is a hint; what it could not do the writes find out.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => {}
        Err(errno) => return Err(no_space(&io::Error::from(errno))),
    }
    let zeros = alloc::vec![0; CHUNK];
    let mut at = 0;
    while at < len {
        let rest = usize::try_from(len - at).unwrap_or(CHUNK);
        let chunk = zeros.get(..rest).unwrap_or(&zeros);
        file.write_all_at(chunk, at).map_err(|error| no_space(&error))?;
        at += chunk.len() as u64;
    }
    rustix::fs::fsync(file).map_err(|errno| no_space(&io::Error::from(errno)))
}

/// Makes the new name durable.
fn sync_directory(path: &Path) -> Result<(), Error> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = rustix::fs::open(
        parent,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| Error::os(path, "open of its directory", errno))?;
    rustix::fs::fsync(directory).map_err(|errno| Error::os(path, "fsync of its directory", errno))
}

/// Removes a file that could not be created whole, unless something else is at its path by now.
pub(super) fn remove_own(path: &Path, file: &File) {
    let (Ok(own), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return };
    if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
        // The error that led here is the one to report; what is left is an empty or zero file.
        drop(std::fs::remove_file(path));
    }
}

fn from_io(path: &Path, call: &'static str, error: &io::Error) -> Error {
    Error::os(path, call, Errno::from_io_error(error).unwrap_or(Errno::IO))
}
