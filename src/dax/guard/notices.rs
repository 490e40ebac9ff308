//! The kernel's notices of names that come and go in directories (inotify(7)).
//!
//! With them a new name is known at the next pass, and no directory has to be read for that. A store to a mapped file
//! causes none. Calls that write to files or cut them are asked for only in directories with a file whose lines are written
//! back. A notice costs the writer, and each other file is synced in each pass anyway.

use crate::dax::system::files;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Bytes of notices that are read at once.
const BUFFER: usize = 64 << 10;
/// Notices that are read in a pass. Directories are read instead of more, so that no program can keep a pass busy.
const MOST: usize = 1 << 16;

/// The notices of some directories.
#[derive(Debug, Default)]
pub(super) struct Notices {
    inotify: Option<OwnedFd>,
    watches: BTreeMap<i32, Watch>,
    /// True if a directory is not watched: the system has a limit of them, or may not have any.
    is_partial: bool,
}

#[derive(Debug)]
struct Watch {
    /// Shared with the notices: a program can cause many in a directory whose path is long.
    directory: Arc<Path>,
    /// The name of the file in it, if that alone is watched.
    file: Option<OsString>,
    is_met: bool,
}

/// The meaning of a missing file, if a notice of its name was heard.
#[derive(Clone, Copy, Debug)]
pub(super) enum IfGone {
    /// A file came to the name. It may have another one by now, of which a notice will be heard.
    Missed,
    /// The file may have another name, of which no notice was heard. A known file is found whichever name it has.
    MissedUnlessKnown,
    /// The file was removed. Or it was moved, and its new name was heard of, too.
    NotMissed,
}

/// A name in a directory.
type Name = (Arc<Path>, OsString);

/// Changes since the last call.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Names that came or went, or that are of other files now, by their directory.
    pub(super) names: BTreeMap<Arc<Path>, BTreeMap<OsString, IfGone>>,
    /// Former names of files whose new name was not heard of yet, by the cookie of both notices.
    moving: BTreeMap<u32, Name>,
    /// Names to which files were moved, each with the former name of the last file.
    moved: BTreeMap<Name, Name>,
    /// Files that were written to or cut by a call, by their directory.
    pub(super) modified: BTreeMap<Arc<Path>, BTreeSet<OsString>>,
    /// Directories in which a name came, perhaps one that was there before.
    pub(super) came: BTreeSet<Arc<Path>>,
    /// True if directories changed, or notices were lost: all of them must be read.
    pub(super) everything: bool,
    /// True if notices were lost.
    pub(super) lost: bool,
}

impl Notices {
    /// Begins to watch all directories anew.
    pub(super) fn begin(&mut self) {
        if self.inotify.is_none() {
            let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
            self.inotify = inotify::init(flags).ok();
        }
        self.is_partial = self.inotify.is_none();
        self.watches.values_mut().for_each(|watch| watch.is_met = false);
    }

    /// Watches an open directory for names that change after this call.
    pub(super) fn watch(&mut self, directory: BorrowedFd<'_>, path: &Path) {
        let names = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let watch = Watch { directory: path.into(), file: None, is_met: true };
        self.add(directory, names, watch);
    }

    /// Watches an open directory for calls that modify its files, too.
    pub(super) fn watch_calls(&mut self, directory: BorrowedFd<'_>, path: &Path) {
        let watch = Watch { directory: path.into(), file: None, is_met: true };
        self.add(directory, WatchFlags::MODIFY | WatchFlags::ONLYDIR, watch);
    }

    /// Watches an open file for calls that modify it.
    pub(super) fn watch_file(&mut self, file: BorrowedFd<'_>, directory: &Path, name: &OsStr) {
        let (directory, name) = (directory.into(), Some(name.to_os_string()));
        self.add(file, WatchFlags::MODIFY, Watch { directory, file: name, is_met: true });
    }

    fn add(&mut self, open: BorrowedFd<'_>, wanted: WatchFlags, watch: Watch) {
        let Some(inotify) = &self.inotify else { return };
        // By its descriptor: something else may have its path by now.
        let by_descriptor = files::path_of(&open);
        // A directory has one watch, whichever roots it is below: nothing that was asked for is taken back.
        match inotify::add_watch(inotify, by_descriptor, wanted | WatchFlags::MASK_ADD) {
            Ok(number) => {
                self.watches.insert(number, watch);
            }
            Err(_refused) => self.cannot_watch(),
        }
    }

    /// Records that a directory is not watched.
    pub(super) const fn cannot_watch(&mut self) {
        self.is_partial = true;
    }

    /// Ends the watch of directories that were not met since the [beginning](Self::begin).
    pub(super) fn end(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        self.watches.retain(|number, watch| {
            if !watch.is_met {
                // The removal fails for a directory that is gone, and its watch with it.
                let (Ok(()) | Err(_)) = inotify::remove_watch(inotify, *number);
            }
            watch.is_met
        });
    }

    /// Returns true if every directory is watched.
    pub(super) const fn are_complete(&self) -> bool {
        self.inotify.is_some() && !self.is_partial
    }

    /// Returns the changes since the last call, without waiting.
    pub(super) fn heard(&mut self) -> Heard {
        let mut heard = Heard::default();
        let Some(inotify) = &self.inotify else { return heard };
        let mut buffer = Vec::with_capacity(BUFFER);
        buffer.resize(BUFFER, MaybeUninit::uninit());
        let mut reader = Reader::new(inotify, &mut buffer);
        for _ in 0..MOST {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    let (events, cookie) = (event.events(), event.cookie());
                    heard.add(&mut self.watches, event.wd(), events, cookie, name);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return heard,
                Err(_lost) => break,
            }
        }
        heard.everything = true;
        heard.lost = true;
        heard
    }
}

impl Heard {
    fn add(
        &mut self,
        watches: &mut BTreeMap<i32, Watch>,
        number: i32,
        events: ReadFlags,
        cookie: u32,
        name: Option<&OsStr>,
    ) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.everything = true;
            self.lost = true;
        }
        // A watch that was ended, or ends now, is of no directory.
        let Some(watch) = watches.get(&number) else { return };
        if events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            self.came.insert(watch.directory.clone());
        }
        if events.contains(ReadFlags::MODIFY) {
            if let Some(name) = name.or(watch.file.as_deref()) {
                let names = self.modified.entry(watch.directory.clone()).or_default();
                names.insert(name.to_os_string());
            }
            return;
        }
        match name {
            Some(name) if !events.contains(ReadFlags::ISDIR) => {
                self.add_name((watch.directory.clone(), name.to_os_string()), events, cookie);
            }
            _ => self.everything = true,
        }
        if events.contains(ReadFlags::IGNORED) {
            watches.remove(&number);
        }
    }

    fn add_name(&mut self, name: Name, events: ReadFlags, cookie: u32) {
        let if_gone = self.if_gone(&name);
        if events.contains(ReadFlags::DELETE) {
            *if_gone = IfGone::NotMissed;
        } else if events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            *if_gone = IfGone::Missed;
        }
        if events.contains(ReadFlags::MOVED_FROM) {
            self.moving.insert(cookie, name);
        } else if events.contains(ReadFlags::MOVED_TO)
            && let Some(former) = self.moving.remove(&cookie)
        {
            self.add_move(former, name);
        }
    }

    /// Leaves a moved file to the notice of its new name. The notices of an exchange are those of two moves, and the
    /// second has a file under its former name, too.
    fn add_move(&mut self, former: Name, name: Name) {
        if self.moved.get(&former) != Some(&name) {
            *self.if_gone(&former) = IfGone::NotMissed;
        }
        self.moved.insert(name, former);
    }

    fn if_gone(&mut self, (directory, name): &Name) -> &mut IfGone {
        let names = self.names.entry(directory.clone()).or_default();
        names.entry(name.clone()).or_insert(IfGone::MissedUnlessKnown)
    }
}
