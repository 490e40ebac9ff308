//! New names of directories, which are made durable: of each directory by itself, or of all of a file system by one call.

use super::super::descent;
use super::Watched;
use crate::dax::Error;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem::take;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, fsync, openat, syncfs};
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

/// The most directories of a file system that are synced singly in a look. An `fsync` on a disk takes about a millisecond,
/// and a program can create directories a hundred times as fast. `syncfs` has the pages of all files written back, and on
/// DAX programs have a page fault for each page to which they store next.
const MOST_SYNCED_SINGLY: usize = 64;

/// Directories with new names, by the device of their file system.
#[derive(Debug, Default)]
pub(super) struct Unsynced(pub(super) BTreeMap<u64, Names>);

#[derive(Debug, Default)]
pub(super) struct Names {
    /// The number of directories that were synced singly.
    synced: usize,
    /// The first other one, opened anew. `syncfs` reports the failures since a file was opened, each once, and duplicates of
    /// a descriptor are one file. Files are synced by another one.
    pub(super) left: Option<OwnedFd>,
}

impl Watched {
    /// Makes new names of a directory durable, or leaves them to the end of the look.
    pub(super) fn sync_names(
        &mut self,
        open: BorrowedFd<'_>,
        path: &Path,
        problems: &mut Vec<Error>,
    ) {
        let Some(found) = self.directories.get(path).filter(|found| found.has_new_names) else {
            return;
        };
        let (device, root) = (found.identity.device, found.root);
        if self.leave_names(open, device, root) {
            return;
        }
        let began = Instant::now();
        self.names_were_synced(path, fsync(open), problems);
        self.opening += began.elapsed();
    }

    /// Takes the result of the sync of a directory.
    fn names_were_synced(
        &mut self,
        path: &Path,
        synced: Result<(), Errno>,
        problems: &mut Vec<Error>,
    ) {
        if let Err(errno) = synced {
            let error = Error::os(path, "fsync of the directory", &errno.into());
            self.cannot_see(path, error, problems);
        } else if let Some(directory) = self.directories.get_mut(path) {
            directory.has_new_names = false;
        }
    }

    /// Leaves the names of a directory to a sync of its file system. Returns false if it is to be synced singly.
    pub(super) fn leave_names(&mut self, open: BorrowedFd<'_>, device: u64, root: usize) -> bool {
        let is_local = self.roots.get(root).is_some_and(|root| root.is_local);
        if !is_local || !self.file_systems.reports_errors() {
            return false;
        }
        let names = self.unsynced.0.entry(device).or_default();
        names.synced += 1;
        if names.synced > MOST_SYNCED_SINGLY && names.left.is_none() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            names.left = openat(open, c".", flags, Mode::empty()).ok();
        }
        names.left.is_some()
    }

    /// Makes the names durable that the look has left.
    pub(super) fn sync_left_names(&mut self, problems: &mut Vec<Error>) {
        for (device, names) in take(&mut self.unsynced.0) {
            let Some(open) = names.left else { continue };
            if is_synced(|| syncfs(&open), || is_read_only(&open)) {
                let found = self.directories.values_mut();
                let left = found.filter(|directory| directory.identity.device == device);
                left.for_each(|directory| directory.has_new_names = false);
            } else {
                self.sync_singly(device, problems);
            }
        }
    }

    /// Syncs each directory of a device that has new names, and reports those that fail.
    pub(super) fn sync_singly(&mut self, device: u64, problems: &mut Vec<Error>) {
        let left = self.directories.iter().filter(|(_, directory)| {
            directory.identity.device == device && directory.has_new_names
        });
        let left: Vec<_> =
            left.map(|(path, found)| (path.clone(), found.root, found.device.is_none())).collect();
        for (path, root, is_of_single) in left {
            let opened = if is_of_single {
                descent::parent(&path)
            } else {
                self.open(root, &path).map(|(open, _)| open)
            };
            let synced = opened.and_then(fsync);
            self.is_to_retry |= synced.is_err();
            self.names_were_synced(&path, synced, problems);
        }
    }
}

/// Returns true if a sync of a file system has made its names durable. It also reports the failed write-back of a file, once,
/// after which the names are durable. A failed commit can make the file system read-only, and a sync of such a one does
/// nothing and succeeds (Linux, `fs/sync.c`, `sync_filesystem`; `btrfs` with each failed commit).
fn is_synced(
    mut sync: impl FnMut() -> Result<(), Errno>,
    is_read_only: impl FnOnce() -> bool,
) -> bool {
    sync().or_else(|_| sync()).is_ok() && !is_read_only()
}

fn is_read_only(open: &OwnedFd) -> bool {
    fstatvfs(open).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests {
    use super::{Errno, is_synced};

    /// A failed commit of btrfs makes the file system read-only: the first call reports it, and a second one succeeds.
    #[test]
    fn a_sync_that_succeeds_on_a_file_system_that_is_read_only_proves_nothing() {
        let synced = |answers: &[Result<(), Errno>], is_read_only| {
            let mut answers = answers.iter().copied();
            is_synced(|| answers.next().unwrap(), || is_read_only)
        };
        let failure = Err(Errno::IO);
        assert!(synced(&[Ok(())], false));
        assert!(synced(&[failure, Ok(())], false), "the failure was of a file");
        assert!(!synced(&[failure, failure], false));
        assert!(!synced(&[Ok(())], true));
        assert!(!synced(&[failure, Ok(())], true));
    }
}
