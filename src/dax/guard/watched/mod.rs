//! The files below some paths, the moment from which each counts, and the files that are left out.
//!
//! A file counts from the last moment at which it was known not to be there. With [notices](super::notices) of all
//! directories that is the pass before the one that finds it; otherwise it is the last time that directories were read.

mod doubt;
mod file_systems;
mod former;
mod found;
mod known;
mod pass;
mod reading;
mod room;
mod syncing;
mod taking;
#[cfg(all(
    test,
    any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        all(target_arch = "powerpc64", target_endian = "little"),
    ),
    not(miri)
))]
mod tests;
mod unseen;

use super::super::system::Concluded;
use super::super::{Error, FaultHandler, Options};
use super::closing::Closing;
use super::descent;
use super::guarded::GuardedFile;
use super::notices::{Heard, IfGone, Notices};
use super::pace::BootTime;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem::take;
use core::time::Duration;
use file_systems::FileSystems;
use former::{Formers, Lost, Moment};
use found::{Found, Identity, Place, identity_at};
use known::{Directory, Entry, Leaving, LeftOut, Root, State};
use room::Room;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use syncing::Unsynced;

/// The inverse of the largest share of time that is spent on reading directories without notices.
const SELDOM: u32 = 200;
/// The time for which watched directories are not read, unless a notice comes.
const WATCHED: Duration = Duration::from_secs(10);
/// Looks in a pass, at most, after names that change meanwhile.
const LOOKS: u32 = 8;
/// Those of them that read all directories.
const READS: u32 = 2;

/// Files that are guarded, and those that cannot be.
#[derive(Debug, Default)]
pub(super) struct Watched {
    roots: Vec<Root>,
    directories: BTreeMap<PathBuf, Directory>,
    leaving: Vec<Leaving>,
    /// Files that had left at the last pass and have a name elsewhere. They stay open until the end of the next look, which
    /// may find them again: no other file can get their inodes.
    elsewhere: BTreeMap<Identity, Leaving>,
    closing: Closing,
    /// Paths that cannot be looked at.
    unseen: BTreeSet<PathBuf>,
    /// Paths that could not be looked at since directories were read last, with the last pass before that which knew all
    /// files. `None` before the first such pass: the files may be older than the guard.
    unlooked: BTreeMap<PathBuf, Option<Moment>>,
    /// Those of the read before, while directories are read.
    unlooked_before: BTreeMap<PathBuf, Option<Moment>>,
    /// The paths of `unseen` that have been reported.
    told: BTreeSet<PathBuf>,
    room: Room,
    unsynced: Unsynced,
    notices: Notices,
    concluded: Concluded,
    file_systems: FileSystems,
    formers: Formers,
    lost: Lost,
    /// The beginning of the last pass that knew all files.
    knew_all: Option<Moment>,
    /// True if a name was gone when it was looked at, and its file may have another name.
    has_missed: bool,
    /// True if the last look ended before it had looked at all names that changed meanwhile.
    pub(super) is_unsettled: bool,
    /// True if there was no descriptor for a file since directories were read last, or a directory could not be looked at
    /// for a reason that may end soon.
    is_to_retry: bool,
    /// The time at which directories were read last, and how long that took.
    looked: Option<(BootTime, Duration)>,
    /// The time that it took to open and sync files, this time.
    opening: Duration,
}

/// The resources of a pass.
pub(super) struct Work<'a> {
    pub(super) options: &'a Options,
    pub(super) installed: FaultHandler,
    pub(super) began: BootTime,
    pub(super) problems: &'a mut Vec<Error>,
}

impl Watched {
    pub(super) fn add(&mut self, path: &Path) {
        self.roots.push(Root::new(path.to_path_buf()));
        self.file_systems.ask();
        self.look_again();
    }

    /// Returns the number of added paths that were not there any more at the last look.
    pub(super) fn gone(&self) -> u64 {
        self.roots.iter().filter(|root| root.is_gone).count() as u64
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &GuardedFile> {
        guarded_in(&self.directories)
    }

    /// Has all directories read before the next pass.
    pub(super) const fn look_again(&mut self) {
        self.looked = None;
    }

    /// Learns which files there are.
    pub(super) fn look(&mut self, work: &mut Work<'_>) {
        let began = Moment::of(work.began);
        self.formers.begin();
        self.room.no_descriptor = None;
        let is_due = self.is_time(work.began) || self.roots_changed();
        let has_read = self.look_until_settled(is_due, Notices::heard, work);
        // A file that was missed has been there.
        if !self.has_missed && (has_read || self.notices.are_complete()) {
            self.knew_all = Some(began);
        }
        self.sync_left_names(work.problems);
        self.report_left_out(work.problems);
        for left in take(&mut self.elsewhere).into_values() {
            self.closing.close(left.file);
        }
    }

    /// Looks again at names that change while they are looked at: a file that is renamed meanwhile can be missed under
    /// both names. `hear` returns the notices before each look. Returns true if all directories were read.
    fn look_until_settled(
        &mut self,
        mut is_due: bool,
        mut hear: impl FnMut(&mut Notices) -> Heard,
        work: &mut Work<'_>,
    ) -> bool {
        let mut reads = 0;
        // Without notices no later look corrects a read.
        let mut was_unheard = false;
        self.is_unsettled = true;
        for _ in 0..LOOKS {
            let heard = hear(&mut self.notices);
            self.doubt(&heard);
            self.has_missed = false;
            if is_due || heard.everything {
                if reads == READS {
                    // The names that were heard are not looked at.
                    self.has_missed = true;
                    self.look_again();
                    break;
                }
                let has_room_again = self.read_all(work);
                was_unheard = self.has_missed && !self.notices.are_complete();
                reads += 1;
                is_due = has_room_again && reads < READS;
                continue;
            }
            for (directory, names) in heard.names {
                self.look_at_names(&directory, &names, work);
            }
            if !self.has_missed {
                self.is_unsettled = was_unheard;
                break;
            }
        }
        self.has_missed |= was_unheard;
        reads > 0
    }

    fn is_time(&self, now: BootTime) -> bool {
        let is_quiet = self.notices.are_complete() && !self.is_to_retry;
        let least = if is_quiet { WATCHED } else { Duration::ZERO };
        self.looked.is_none_or(|(last, took)| now.since(last) >= least.max(took * SELDOM))
    }

    fn roots_changed(&self) -> bool {
        self.roots.iter().any(|root| root.identity != identity_at(&root.path))
    }

    /// Reads all directories. Returns true if some were left out for others that are gone.
    fn read_all(&mut self, work: &mut Work<'_>) -> bool {
        let began = Instant::now();
        self.opening = Duration::ZERO;
        for directory in self.directories.values_mut() {
            directory.is_met = false;
            directory.files.values_mut().for_each(|entry| entry.is_met = false);
        }
        self.room.begin(&self.directories);
        self.notices.begin();
        self.unseen.clear();
        self.is_to_retry = false;
        self.unlooked_before = take(&mut self.unlooked);
        for number in 0..self.roots.len() {
            self.read_root(number, work);
        }
        self.unlooked_before.clear();
        self.notices.end();
        let has_left_out = self.room.end();
        let has_room_again = self.let_go() && has_left_out;
        self.told.clone_from(&self.unseen);
        // To open files is not to look: a guard that has just found many finds the next one as soon as ever.
        self.looked = Some((work.began, began.elapsed().saturating_sub(self.opening)));
        has_room_again
    }

    fn is_root(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| root.path == path)
    }

    /// A directory that has got the path by a move has the same names as before. It is synced with its own. A root that
    /// is a directory takes it over from one that is a file in it.
    fn met(&mut self, root: usize, path: &Path, device: Option<u64>, identity: Identity) {
        let above = path.parent().and_then(|above| self.directories.get(above));
        let may_be_old = above.is_some_and(|above| above.left_out.may_be_old);
        let directory = self.directories.entry(path.to_path_buf()).or_insert_with(|| Directory {
            identity,
            root,
            device,
            files: BTreeMap::new(),
            is_met: true,
            has_new_names: true,
            left_out: LeftOut { may_be_old, ..LeftOut::default() },
        });
        directory.has_new_names |= directory.identity != identity;
        directory.identity = identity;
        directory.is_met = true;
        (directory.left_out.names, directory.left_out.reason) = (0, None);
        (directory.root, directory.device) = (root, device);
    }

    /// Returns true if a directory was read below a root in this look.
    fn was_read(&self, path: &Path) -> bool {
        self.directories.get(path).is_some_and(|found| found.is_met && found.device.is_some())
    }

    fn entry(&mut self, directory: &Path, name: &OsStr) -> Option<&mut Entry> {
        self.directories.get_mut(directory)?.files.get_mut(name)
    }

    /// Looks at names of which a notice was heard.
    fn look_at_names(
        &mut self,
        path: &Path,
        names: &BTreeMap<OsString, IfGone>,
        work: &mut Work<'_>,
    ) {
        let Some((root, device)) =
            self.directories.get(path).map(|found| (found.root, found.device))
        else {
            return;
        };
        let open = match self.open(root, path) {
            Ok((open, own)) if device == Some(own.device) => open,
            // Another directory than that of the notice: a notice of this one will be heard.
            Ok(_) => return,
            Err(errno) => return self.cannot_look_at(path, errno, work.problems),
        };
        let place = Place { open: open.as_fd(), path, device, since: self.knew_all };
        for (name, if_gone) in names {
            let (has_missed, was_known) = (self.has_missed, self.entry(path, name).is_some());
            self.look_at(&place, name, work);
            match if_gone {
                // The known file may be the one before.
                IfGone::Missed => {
                    self.has_missed |= was_known && self.entry(path, name).is_none();
                }
                IfGone::MissedUnlessKnown => {}
                IfGone::NotMissed => self.has_missed = has_missed,
            }
        }
        self.hear_calls(&place);
        self.sync_names(place.open, path, work.problems);
    }

    /// Hears of calls that modify files of a directory, if lines of one are written back. A file is synced for the first
    /// time after it was found, and so after this.
    fn hear_calls(&mut self, place: &Place<'_>) {
        if self.directories.get(place.path).is_some_and(Directory::has_lines) {
            self.notices.watch_calls(place.open, place.path);
        }
    }

    /// Looks at a file that is a root itself.
    fn look_at_single(
        &mut self,
        root: usize,
        path: &Path,
        since: Option<Moment>,
        work: &mut Work<'_>,
    ) {
        let (parent, Some(name)) = (path.parent().unwrap_or(Path::new("")), path.file_name())
        else {
            return;
        };
        let opened = descent::parent(parent).and_then(|open| {
            let identity = Found::of(&open)?.identity;
            Ok((open, identity))
        });
        let (open, identity) = match opened {
            Ok(opened) => opened,
            Err(errno) => return self.cannot_look_at(path, errno, work.problems),
        };
        if !self.was_read(parent) {
            self.met(root, parent, None, identity);
        }
        let place = Place { open: open.as_fd(), path: parent, device: None, since };
        self.look_at(&place, name, work);
        if let Some(file) = self.directories.get(parent).and_then(|found| found.guarded(name))
            && file.cache().is_some()
        {
            self.notices.watch_file(file.file().as_fd(), parent, name);
        }
        self.sync_names(place.open, parent, work.problems);
    }

    /// Looks at a name of a directory: takes a regular file, and lets go the one that had the name.
    fn look_at(&mut self, place: &Place<'_>, name: &OsStr, work: &mut Work<'_>) {
        let found = match place.find(name) {
            Ok(found) if place.takes(&found) => found,
            Ok(found) if !(found.kind.is_file() && place.is_elsewhere(&found)) => {
                return self.forget(place.path, name);
            }
            Ok(_) | Err(Errno::XDEV) => return self.look_at_mounted(place, name, work),
            Err(Errno::NOENT) => return self.miss(place.path, name),
            Err(errno) => {
                return self.cannot_look_at(&place.path.join(name), errno, work.problems);
            }
        };
        if let Some(entry) = self.entry(place.path, name)
            && entry.identity == found.identity
        {
            entry.is_met = true;
            match entry.state {
                State::Guarded(_) => return,
                State::Refused(size) if size == found.size => return,
                State::Refused(_) | State::Denied => {}
            }
        }
        self.take(place, name, &found, work);
    }

    /// Leaves a file that is mounted at a name to the root that it is, or lets go the one that had the name.
    fn look_at_mounted(&mut self, place: &Place<'_>, name: &OsStr, work: &mut Work<'_>) {
        let path = place.path.join(name);
        if !self.is_root(&path) {
            self.is_mounted_at(&path, work.problems);
            self.forget(place.path, name);
        }
    }

    /// A name is gone. The file of a known one is open, and is written back under whichever name.
    fn miss(&mut self, directory: &Path, name: &OsStr) {
        self.has_missed |= self.entry(directory, name).is_none();
        self.forget(directory, name);
    }

    /// A name is gone, or of something else than a file.
    fn forget(&mut self, directory: &Path, name: &OsStr) {
        let entry = self.directories.get_mut(directory).and_then(|found| found.files.remove(name));
        self.let_leave(entry);
    }

    /// Takes the file of a name that is gone or has another file.
    fn let_leave(&mut self, entry: Option<Entry>) {
        let Some(mut entry) = entry else { return };
        self.formers.leave(&entry);
        self.leaving.extend(entry.leave());
    }

    /// Removes the directories and files that were not met. The files go to `leaving`. Returns true if a directory was
    /// removed.
    fn let_go(&mut self) -> bool {
        let Self { directories, leaving, formers, .. } = self;
        let before = directories.len();
        directories.retain(|_, directory| {
            let is_met = directory.is_met;
            directory.files.retain(|_, entry| {
                let stays = is_met && entry.is_met;
                if !stays {
                    formers.leave(entry);
                    leaving.extend(entry.leave());
                }
                stays
            });
            let LeftOut { names, is_reported, may_be_old, .. } = &mut directory.left_out;
            *is_reported &= *names > 0;
            *may_be_old = *names > 0;
            is_met
        });
        directories.len() < before
    }
}

/// Returns the guarded files of directories.
fn guarded_in(directories: &BTreeMap<PathBuf, Directory>) -> impl Iterator<Item = &GuardedFile> {
    let entries = directories.values().flat_map(|directory| directory.files.values());
    entries.filter_map(|entry| entry.state.guarded())
}
