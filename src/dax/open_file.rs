//! Open files: their locks, their zeros, and the names of new ones.
//!
//! The lock belongs to the open file (`flock`, on Windows `LockFileEx`). The standard library takes it.

use super::Writeback;
use super::error::{Error, ErrorKind};
use super::system::files;
use crate::process::Process;
use crate::system::calls::uninterrupted;
use core::ops::{Deref, Range};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The lock of an open file, which says what other open files of the same file are permitted.
///
/// A lock binds only programs that take one. On Unix it is advisory: a program that opens the file without a lock can
/// do anything to it. On Windows it is enforced for read and write calls, even those of the holder of a shared lock,
/// but not for mappings (Microsoft Learn, `LockFileEx`).
///
/// | | excludes | for |
/// |---|---|---|
/// | [`Exclusive`](Self::Exclusive) | every other lock | one process that writes |
/// | [`Shared`](Self::Shared) | exclusive ones | processes that write together, or read a file without writers |
/// | [`Off`](Self::Off) | nothing | programs that agree by other means, and readers while a process writes |
///
/// - Taking a lock never waits. If another open file excludes it, the call fails with [`ErrorKind::Locked`] at once.
/// - The lock belongs to the open file (flock(2)). Opening the file again makes another open file, even in the same
///   process. A duplicated descriptor ([`File::try_clone`](std::fs::File::try_clone)) and the descriptors of a forked
///   child belong to the same open file.
/// - Dropping the [`DaxFile`](super::DaxFile) or [`DaxView`](super::DaxView) releases the lock, after unmapping the
///   file. Duplicates and forked children do not keep it, so the file can be opened again at once. A forked child that
///   drops its copy leaves the lock to its parent.
/// - If a process ends without dropping the file, for example because it was killed, the system releases the lock with
///   the last descriptor. A child keeps its descriptors until it drops its copy, executes a program or ends, so a child
///   that is just starting can delay the release. A successor that must not fail should retry.
/// - On NFS, Linux locks the whole file on the server, so the lock excludes other machines. An exclusive lock needs a
///   file that was opened for writing there, which a [`DaxView`](super::DaxView) does not have (flock(2), "NFS
///   details"). On SMB it is enforced as on Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lock {
    /// No other open file may have a lock.
    Exclusive,
    /// No other open file may have an exclusive lock. [`DaxFile::grow`](super::DaxFile::grow) and
    /// [`shrink`](super::DaxFile::shrink) are refused, since others may change the length too.
    Shared,
    /// No lock is taken.
    Off,
}

/// An open file with its lock. Dropping it releases the lock.
///
/// Closing the file would not be enough: a child that another thread is starting has a duplicate of every descriptor
/// until it executes its program, and the lock lasts as long as any duplicate.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    /// The lock that the file has now.
    lock: Lock,
    /// The process that opened the file.
    owner: Process,
    /// The name of a new file that is not complete yet. Dropping this removes the name.
    unfinished: Option<PathBuf>,
}

impl OpenFile {
    /// Wraps a file that has no lock yet.
    pub(super) fn new(file: File) -> Self {
        Self::unfinished(file, None)
    }

    /// Wraps a new file, which has this name until it is [kept](Self::keep) or discarded.
    pub(super) fn unfinished(file: File, name: Option<PathBuf>) -> Self {
        Self { file, lock: Lock::Off, owner: Process::this(), unfinished: name }
    }

    /// Gives a new file its name, which it has until it is [kept](Self::keep) or discarded.
    pub(super) fn give_name(&mut self, path: &Path) -> Result<(), Error> {
        let given = files::give_name(&self.file, self.unfinished.as_deref(), path);
        given.map_err(|why| match Error::failed(path, why) {
            // The caller tries another way.
            error if why.call == files::LINK && !matches!(error.kind(), ErrorKind::Exists) => {
                Error::new(path, ErrorKind::Os { call: why.call, errno: why.errno })
            }
            error => error,
        })?;
        self.unfinished = Some(path.to_path_buf());
        Ok(())
    }

    /// Keeps a new file under its name.
    pub(super) fn keep(&mut self) {
        self.unfinished = None;
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    pub(super) const fn lock(&self) -> Lock {
        self.lock
    }

    /// Takes a lock, if no other open file excludes it.
    ///
    /// A refused lock is not tried again. No time limit is long enough for every child that is starting on a loaded
    /// machine, so callers must expect the error anyway, and each locked file would cost the whole time limit.
    pub(super) fn take(&mut self, path: &Path, lock: Lock) -> Result<(), Error> {
        let taken = match lock {
            Lock::Exclusive => uninterrupted(|| self.file.try_lock()),
            Lock::Shared => uninterrupted(|| self.file.try_lock_shared()),
            Lock::Off => Ok(()),
        };
        taken.map_err(|error| match error {
            TryLockError::WouldBlock => Error::new(path, ErrorKind::Locked),
            TryLockError::Error(error) => Error::locking(path, &error),
        })?;
        self.lock = lock;
        Ok(())
    }

    /// Appends zeros to the file, and does not sync them. If that fails, the file keeps its length.
    pub(super) fn append_zeros(&self, path: &Path, range: &Range<u64>) -> Result<(), Error> {
        files::write_zeros(&self.file, range).map_err(|error| {
            self.restore(range);
            Error::writing(path, "write", range, &error)
        })
    }

    /// Restores the length of a file that was made longer by a range.
    pub(super) fn restore(&self, range: &Range<u64>) {
        if !range.is_empty() {
            // The error that led here is the one to report; what is left after the old end is zeros.
            drop(self.file.set_len(range.start));
        }
    }

    /// Syncs the file. A file system may lack syncs if pages are persisted: write-backs then fail in the same way.
    pub(super) fn sync(&self, writeback: Writeback) -> io::Result<()> {
        match self.file.sync_all() {
            Err(error)
                if matches!(writeback, Writeback::Pages)
                    && files::is_without_syncs(files::number(&error)) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }
}

impl Deref for OpenFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // In a forked child the name and the lock are still its parent's.
        if !self.owner.is_this() {
            return;
        }
        // Removes the name, unless something else has it by now, while the file is locked: a process that opens the
        // file meanwhile finds no name left when it gets the lock. The error that led here is the one to report.
        if let Some(name) = self.unfinished.take()
            && files::is_name_of(&name, &self.file)
        {
            drop(fs::remove_file(name));
        }
        // The system releases the lock at the latest when the last descriptor is closed.
        if self.lock != Lock::Off {
            drop(self.file.unlock());
        }
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(miri)))]
mod tests {
    use super::{Lock, OpenFile};
    use crate::dax::Options;
    use std::fs::File;

    /// A duplicate keeps the lock of an open file: a child that is starting has one for a moment.
    #[test]
    fn a_lock_is_released_with_its_file_whoever_has_a_duplicate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        drop(Options::new().allow_page_granularity().create_new(&path, 8192).unwrap());
        let locked = || {
            let mut file = OpenFile::new(File::open(&path).unwrap());
            file.take(&path, Lock::Exclusive).unwrap();
            file.try_clone().unwrap()
        };
        let _duplicate = locked();
        locked();
    }
}
