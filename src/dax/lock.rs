//! Open files and their locks.
//!
//! The lock belongs to the open file (`flock`, on Windows `LockFileEx`). The standard library takes it.

use super::error::{Error, ErrorKind};
use super::system::files;
use crate::process::Process;
use core::ops::Deref;
use std::fs::{File, TryLockError};
use std::path::Path;

/// The other open files of the same file that are permitted, here or in another process.
///
/// A lock binds only programs that take one. On Unix it is advisory: a program that opens the file without a lock can
/// do anything to it. On Windows it is enforced for reads and writes by calls, also for those of the holder of a shared
/// lock, and not for mappings (Microsoft Learn, `LockFileEx`).
///
/// | | excludes | for |
/// |---|---|---|
/// | [`Exclusive`](Self::Exclusive) | every other lock | one process that writes |
/// | [`Shared`](Self::Shared) | exclusive ones | processes that write together, or read a file without writers |
/// | [`None`](Self::None) | nothing | programs that agree by other means, and readers beside a writer |
///
/// - Taking a lock never waits. If another open file excludes it, the error is [`ErrorKind::Locked`] at once.
/// - The lock belongs to the open file (flock(2)). Opening the file again makes another open file, in the same
///   process too. A duplicated descriptor ([`File::try_clone`](std::fs::File::try_clone)) and the descriptors
///   of a forked child belong to the same open file.
/// - Dropping the [`DaxFile`](super::DaxFile) or [`DaxView`](super::DaxView) releases the lock, after the file
///   was unmapped. Duplicates and forked children do not keep it, so the file can be opened again at once. A
///   forked child that drops its copy leaves the lock to its parent.
/// - If a process ends without dropping the file, because it was killed for example, the system releases the
///   lock with the last descriptor. A child keeps its descriptors until it drops its copy, executes a program
///   or ends. So a child that is just being started can delay the release. A successor that must not fail then
///   tries again for as long as suits it.
/// - On NFS, Linux takes a lock of the whole file on the server, so it holds against other machines. An exclusive lock
///   needs a file that was opened for writing there, which a [`DaxView`](super::DaxView) does not have (flock(2), "NFS
///   details"). On SMB it is enforced as on Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lock {
    /// No other open file has a lock.
    Exclusive,
    /// No other open file has an exclusive lock. [`DaxFile::grow`](super::DaxFile::grow) and
    /// [`shrink`](super::DaxFile::shrink) are refused, since others may change the length too.
    Shared,
    /// No lock is taken.
    None,
}

/// An open file with its lock. Dropping it releases the lock.
///
/// Closing the file is not enough for that. A child that another thread is about to start has a duplicate of
/// every descriptor until it executes its program, and the lock lasts as long as a duplicate.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    /// The lock that the file has now.
    lock: Lock,
    /// The process that opened the file.
    owner: Process,
}

impl OpenFile {
    /// Wraps a file that has no lock yet.
    pub(super) fn new(file: File) -> Self {
        Self { file, lock: Lock::None, owner: Process::this() }
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    pub(super) const fn lock(&self) -> Lock {
        self.lock
    }

    /// Takes a lock, if no other open file excludes it.
    ///
    /// A refused lock is not tried again. No bound is long enough for every child that is being started on a
    /// loaded machine, so callers must expect the error anyway. And each locked file would cost the whole bound.
    pub(super) fn take(&mut self, path: &Path, lock: Lock) -> Result<(), Error> {
        let taken = match lock {
            Lock::Exclusive => self.file.try_lock(),
            Lock::Shared => self.file.try_lock_shared(),
            Lock::None => Ok(()),
        };
        taken.map_err(|error| match error {
            TryLockError::WouldBlock => Error::new(path, ErrorKind::Locked),
            TryLockError::Error(error) => Error::os(path, files::LOCK, &error),
        })?;
        self.lock = lock;
        Ok(())
    }

    /// Takes the exclusive lock of a file that was just created. Another process that opened the file in
    /// between has a lock only for a moment, since an empty file is refused.
    pub(super) fn take_new(&mut self, path: &Path) -> Result<(), Error> {
        self.file.lock().map_err(|error| Error::os(path, files::LOCK, &error))?;
        self.lock = Lock::Exclusive;
        Ok(())
    }

    /// Replaces the exclusive lock, under which a new file was filled, by the lock that was asked for. The
    /// exclusive lock is released first, as no system replaces a lock atomically (flock(2)).
    pub(super) fn lower(&mut self, path: &Path, lock: Lock) -> Result<(), Error> {
        if lock == Lock::Exclusive {
            return Ok(());
        }
        self.file.unlock().map_err(|error| Error::os(path, files::LOCK, &error))?;
        self.lock = Lock::None;
        self.take(path, lock)
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
        // In a forked child the lock is still its parent's. An error can be ignored: the system releases the lock at the
        // latest when the last descriptor is closed.
        if self.owner == Process::this() && self.lock != Lock::None {
            drop(self.file.unlock());
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::super::mapping::Mapping;
    use super::super::system::{Host, Mappable, Mapper, Plan};
    use super::super::{Error, ErrorKind, Guarantee, Lock, Options};
    use crate::cache::Cache;
    use core::cell::Cell;
    use core::ops::Range;
    use std::fs::{File, Metadata};
    use std::io;
    use std::path::Path;

    const LEN: u64 = 8 << 10;

    std::thread_local! {
        /// A duplicate of the last file that was opened and locked. A forked child has the same.
        static DUPLICATE: Cell<Option<File>> = const { Cell::new(None) };
    }

    /// The system, except that a locked file is duplicated. It refuses mappings on request.
    struct Duplicated<const MAPS: bool>;

    impl<const MAPS: bool> Mapper for Duplicated<MAPS> {
        const PERSISTS_VIEWS: bool = Host::PERSISTS_VIEWS;

        fn mappable(path: &Path, file: &File, metadata: &Metadata) -> Result<Mappable, Error> {
            DUPLICATE.set(Some(file.try_clone().unwrap()));
            Host::mappable(path, file, metadata)
        }

        fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error> {
            Host::guarantee(path, file, cache)
        }

        fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error> {
            Host::guarantee_in(directory, cache)
        }

        fn reserve(file: &File, range: Range<u64>) -> io::Result<()> {
            Host::reserve(file, range)
        }

        fn map(path: &Path, file: &File, plan: &Plan) -> Result<Mapping, Error> {
            if MAPS {
                return Host::map(path, file, plan);
            }
            Err(Error::os(path, "mmap", &io::ErrorKind::OutOfMemory.into()))
        }
    }

    /// Asserts that the file can be opened while the duplicate of its last opening exists.
    #[track_caller]
    fn assert_released(path: &Path) {
        let duplicate = DUPLICATE.take();
        assert!(duplicate.is_some(), "the file was locked before the error");
        Options::new().allow_page_granularity().open(path).unwrap();
    }

    #[test]
    fn an_open_that_fails_after_it_took_the_lock_releases_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let options = Options::new().allow_page_granularity();
        drop(options.create_new(&path, LEN).unwrap());
        for lock in [Lock::Exclusive, Lock::Shared] {
            let options = options.clone().lock(lock);
            let too_long = options.clone().len(LEN + 1);
            let error = too_long.open_on::<Duplicated<true>>(&path).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Shorter { .. }), "{error}");
            assert_released(&path);

            let error = options.open_on::<Duplicated<false>>(&path).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Os { call: "mmap", .. }), "{error}");
            assert_released(&path);

            #[cfg(target_pointer_width = "64")]
            {
                let error = options.view_on::<Duplicated<false>>(&path).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Os { call: "mmap", .. }), "{error}");
                assert_released(&path);
            }

            drop(options.open_on::<Duplicated<true>>(&path).unwrap());
            assert_released(&path);
        }
    }

    #[test]
    fn an_open_that_is_refused_for_its_granularity_releases_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        drop(Options::new().allow_page_granularity().create_new(&path, LEN).unwrap());
        // Lines suffice by default only on persistent memory. Either way no lock is left.
        drop(Options::new().open_on::<Duplicated<true>>(&path));
        assert_released(&path);
    }
}
