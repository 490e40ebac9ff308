//! File systems with many files that are written back by pages, each synced by one call.

use super::super::guarded::GuardedFile;
use super::found::Found;
use super::guarded_in;
use super::known::Directory;
use crate::dax::system::syncfs_reports_errors;
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// A file system with more files than this is synced as a whole.
const MOST_SYNCED_SINGLY: usize = 16;

/// File systems that change on this machine alone, so that notices report all names, and all of which `syncfs` writes
/// back. FUSE passes `syncfs` on to virtiofs alone (Linux, `fs/fuse/inode.c`, `fuse_sync_fs`).
pub(super) const LOCAL: [&str; 4] = ["ext4", "xfs", "btrfs", "tmpfs"];

/// The file systems of guarded files.
#[derive(Debug, Default)]
pub(super) struct FileSystems {
    /// True if `syncfs` reports failed write-backs.
    reports_errors: bool,
    /// An open directory of each device. `syncfs` reports the failures since its descriptor was opened or reported one
    /// (Linux, `fs/sync.c`), so this one must be older than those of the files, and stay.
    pub(super) directories: BTreeMap<u64, OwnedFd>,
}

impl FileSystems {
    /// Asks the kernel which failures it reports.
    pub(super) fn ask(&mut self) {
        self.reports_errors = syncfs_reports_errors();
    }

    pub(super) const fn reports_errors(&self) -> bool {
        self.reports_errors
    }

    /// Takes a directory of which a file is to be opened, if its device has none yet.
    pub(super) fn meet(&mut self, directory: BorrowedFd<'_>) {
        if !self.reports_errors {
            return;
        }
        let Ok(found) = Found::of(directory) else { return };
        if let Entry::Vacant(vacant) = self.directories.entry(found.device())
            && let Ok(directory) = directory.try_clone_to_owned()
        {
            vacant.insert(directory);
        }
    }

    /// Syncs each file system with many files that are written back by pages, and returns their devices.
    ///
    /// `fdatasync` has the device flushed for each file, also for one without new bytes. If a file system cannot be
    /// synced, the `fdatasync` of each file shows which it is.
    pub(super) fn sync(&mut self, directories: &BTreeMap<PathBuf, Directory>) -> BTreeSet<u64> {
        let mut by_pages = BTreeMap::<u64, (usize, &GuardedFile)>::new();
        for guarded in guarded_in(directories).filter(|guarded| guarded.cache().is_none()) {
            by_pages.entry(guarded.device()).or_insert((0, guarded)).0 += 1;
        }
        self.directories.retain(|device, _| by_pages.contains_key(device));
        by_pages.retain(|_, (files, guarded)| {
            *files > MOST_SYNCED_SINGLY && LOCAL.contains(&&*guarded.guarantee().file_system)
        });
        let is_synced = |device: &u64| {
            self.directories.get(device).is_some_and(|open| rustix::fs::syncfs(open).is_ok())
        };
        by_pages.into_keys().filter(is_synced).collect()
    }
}
