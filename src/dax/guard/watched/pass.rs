//! One pass over the files: each is written back, and the moment since which it counts moves on.

use super::super::guarded::{GuardedFile, Written};
use super::super::pace::BootTime;
use super::found::Found;
use super::{Leaving, Lost, State, Watched, Work, guarded_in};
use crate::cache::Cache;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem::{discriminant, take};

/// The files that a pass has written back, and those that it has not.
#[derive(Debug, Default)]
pub(in super::super) struct Covered {
    pub(in super::super) files: u64,
    pub(in super::super) written: Written,
    /// Files and directories that could not be written back or looked at.
    pub(in super::super) outside: u64,
    /// The earliest moment from which on stored bytes were not written back before.
    pub(in super::super) oldest: Option<BootTime>,
}

impl Watched {
    /// Returns the caches of the next [write-back](Self::write_back), whose lines need a fence. Files on memory of
    /// different points can need different ones, as on POWER10.
    pub(in super::super) fn caches(&self) -> Vec<Cache> {
        let mut caches = Vec::new();
        let leaving = self.leaving.iter().map(|leaving| &leaving.file);
        for cache in self.files().chain(leaving).filter_map(GuardedFile::cache) {
            if !caches.contains(&cache) {
                caches.push(cache);
            }
        }
        caches
    }

    /// Writes all files back. An error of a file is reported once for as long as it lasts, and none ends the pass.
    pub(in super::super) fn write_back(
        &mut self,
        work: &mut Work<'_>,
        after: &mut impl FnMut(u64),
    ) -> Covered {
        let mut synced = self.file_systems.sync(&self.directories);
        let Self { concluded, directories, .. } = &mut *self;
        concluded.retain(|device| guarded_in(directories).any(|file| file.device() == device));
        let mut unflushed = synced.clone();
        let left_out: u64 = directories.values().map(|directory| directory.left_out.names).sum();
        let outside = self.unseen.len() as u64 + left_out;
        let mut covered = Covered { outside, ..Covered::default() };
        let mut write = |guarded: &mut GuardedFile, identity, lost: &mut Lost, work: &Work<'_>| {
            guarded.take_failure(lost.of(identity));
            let device = guarded.device();
            // The first one's own `fdatasync` has the device flushed. `syncfs` of xfs does not if its log has nothing to
            // write (Linux `fs/xfs/xfs_log.c`, `xfs_log_force`; `fs/xfs/xfs_file.c`, `xfs_file_fsync`).
            let is_by_pages = guarded.cache().is_none() && guarded.lost().is_none();
            let flushes = is_by_pages && unflushed.contains(&device);
            let is_synced = synced.contains(&device) && !flushes;
            let written = guarded.write_back(work.options, work.installed, is_synced, after);
            if flushes && !matches!(written, Ok(None)) {
                unflushed.remove(&device);
            }
            if flushes && written.is_err() {
                synced.remove(&device);
            }
            lost.note(identity, guarded.lost());
            written
        };
        // Before the entries: a descriptor that is older than a failure reports it, and a later one of the file need not.
        let mut removed = BTreeSet::new();
        for Leaving { mut file, identity, mut since } in take(&mut self.leaving) {
            // It was removed before this pass looked.
            if let Ok(Found { links: 0, .. }) = Found::of(file.file()) {
                self.lost.note(identity, None);
                removed.insert(identity);
                self.closing.close(file);
                continue;
            }
            // Not one of `files`: the file has another name now, or is not one of the tree any more.
            match write(&mut file, identity, &mut self.lost, work) {
                Ok(written) => {
                    covered.reach_back(since.filter(|_| written.is_some()));
                    since = Some(work.began);
                }
                Err(error) => {
                    covered.outside += 1;
                    work.problems.push(error);
                }
            }
            let left = Leaving { file, identity, since };
            if let Some(other) = self.elsewhere.insert(identity, left) {
                self.closing.close(other.file);
            }
        }
        self.formers.forget(&removed);
        let entries = self.directories.values_mut().flat_map(|found| found.files.values_mut());
        let mut outcomes = Vec::new();
        for entry in entries {
            let State::Guarded(guarded) = &mut entry.state else {
                covered.outside += 1;
                continue;
            };
            let written = write(guarded, entry.identity, &mut self.lost, work);
            outcomes.push((entry, written));
        }
        for (entry, mut written) in outcomes {
            // Another name of the file, written back later, has reported the failure.
            if let State::Guarded(guarded) = &mut entry.state
                && written.is_ok()
                && self.lost.of(entry.identity).is_some()
            {
                written = write(guarded, entry.identity, &mut self.lost, work);
            }
            match written {
                Ok(written) => {
                    covered.add(written, entry.since);
                    entry.since = Some(work.began);
                    entry.told = None;
                }
                Err(error) => {
                    covered.outside += 1;
                    let kind = Some(discriminant(error.kind()));
                    if entry.told != kind {
                        entry.told = kind;
                        work.problems.push(error);
                    }
                }
            }
        }
        covered
    }
}

impl Covered {
    fn add(&mut self, written: Option<Written>, since: Option<BootTime>) {
        let Some(written) = written else { return };
        self.files += 1;
        self.written.bytes += written.bytes;
        self.written.lines += written.lines;
        self.reach_back(since);
    }

    fn reach_back(&mut self, since: Option<BootTime>) {
        self.oldest = [self.oldest, since].into_iter().flatten().min();
    }
}
