//! Who else may have a file open.
//!
//! The lock is that of the open file (`flock`, on Windows `LockFileEx`), taken by the standard library.

use super::error::{Error, ErrorKind};
use super::system::files;
use std::fs::{File, TryLockError};
use std::path::Path;

/// What else may be open while a file is, here or in another process.
///
/// A lock binds only those who take one: on Unix it is advice, and a program that opens the file without
/// asking can do anything to it. On Windows it is enforced for what reads and writes by calls, the one who
/// holds it included where it is shared, and not for mappings (Microsoft Learn, `LockFileEx`).
///
/// | | excludes | for |
/// |---|---|---|
/// | [`Exclusive`](Self::Exclusive) | every other lock | one process that writes |
/// | [`Shared`](Self::Shared) | exclusive ones | processes that write together, or read what nobody may write |
/// | [`None`](Self::None) | nothing | those who agree by other means, and readers beside a writer |
///
/// - It never waits: a lock that cannot be had is [`ErrorKind::Locked`].
/// - It belongs to the open file, and ends when its last descriptor is closed: one that was duplicated
///   ([`File::try_clone`](std::fs::File::try_clone)) and one that a forked child has keep it, and are no
///   other user of it. Opening the file again is, in the same process too (flock(2)).
/// - On NFS, Linux takes a lock of the whole file on the server: it holds against other machines, and an
///   exclusive one needs a file that was opened for writing, which a [`DaxView`](super::DaxView) does not
///   have (flock(2), "NFS details"). On SMB it is enforced as on Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nobody else has a lock.
    Exclusive,
    /// Nobody else has an exclusive lock. [`DaxFile::grow`](super::DaxFile::grow) and
    /// [`shrink`](super::DaxFile::shrink) are refused, since others may be at it too.
    Shared,
    /// None is taken.
    None,
}

/// Takes a lock of a file that was opened.
pub(super) fn take(path: &Path, file: &File, lock: Lock) -> Result<(), Error> {
    let taken = match lock {
        Lock::Exclusive => file.try_lock(),
        Lock::Shared => file.try_lock_shared(),
        Lock::None => Ok(()),
    };
    taken.map_err(|error| match error {
        TryLockError::WouldBlock => Error::new(path, ErrorKind::Locked),
        TryLockError::Error(error) => Error::os(path, files::LOCK, &error),
    })
}

/// Takes the exclusive lock of a file that was just created. Who opened it in between has it for a moment
/// only, since an empty file is refused.
pub(super) fn take_new(path: &Path, file: &File) -> Result<(), Error> {
    file.lock().map_err(|error| Error::os(path, files::LOCK, &error))
}

/// Goes from the exclusive lock, under which a new file was filled, to the one that was asked for. It is
/// given up first, as no system goes from one to the other at once (flock(2)).
pub(super) fn lower(path: &Path, file: &File, lock: Lock) -> Result<(), Error> {
    if lock == Lock::Exclusive {
        return Ok(());
    }
    file.unlock().map_err(|error| Error::os(path, files::LOCK, &error))?;
    take(path, file, lock)
}
