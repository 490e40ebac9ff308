//! Records of the paths, directories and files that are known.

use super::super::guarded::GuardedFile;
use super::super::pace::BootTime;
use super::found::{Found, Identity};
use crate::dax::ErrorKind;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::mem::{Discriminant, replace};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A path below which files are guarded.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    /// The file that had the name at the last look.
    pub(super) identity: Option<Identity>,
    /// True if its file system was [local](super::file_systems::LOCAL) then.
    pub(super) is_local: bool,
    /// True if it was looked at: files that are found later are new.
    pub(super) is_known: bool,
    /// The directory or file that was mounted there last.
    pub(super) mounted: Option<Identity>,
    /// True if it was not there any more at the last look.
    pub(super) is_gone: bool,
}

impl Root {
    pub(super) const fn new(path: PathBuf) -> Self {
        let (identity, mounted) = (None, None);
        Self { path, identity, is_local: false, is_known: false, mounted, is_gone: false }
    }

    /// Returns true if the file system that was mounted at the path is not any more, and the directory below it shows.
    pub(super) fn is_unmounted(&mut self, found: Result<Found, Errno>) -> bool {
        let Ok(found) = found else { return false };
        if found.is_mounted {
            self.mounted = Some(found.identity);
        }
        // The end of a directory's mount on itself leaves the same files there.
        self.mounted.is_some_and(|mounted| mounted != found.identity)
    }
}

/// A directory that was read.
#[derive(Debug)]
pub(super) struct Directory {
    /// The directory that had the path when it was opened last.
    pub(super) identity: Identity,
    /// The number of its root.
    pub(super) root: usize,
    /// The device on which its files are.
    pub(super) device: Option<u64>,
    pub(super) files: BTreeMap<OsString, Entry>,
    pub(super) is_met: bool,
    /// True if it has names that may not be durable.
    pub(super) has_new_names: bool,
    /// The names of it that are left out.
    pub(super) left_out: LeftOut,
}

impl Directory {
    pub(super) fn guarded(&self, name: &OsStr) -> Option<&GuardedFile> {
        self.files.get(name)?.state.guarded()
    }

    /// Returns true if a file of it is written back by lines.
    pub(super) fn has_lines(&self) -> bool {
        let mut guarded = self.files.values().filter_map(|entry| entry.state.guarded());
        guarded.any(|file| file.cache().is_some())
    }
}

/// Names of a directory that are outside of the bound and not kept.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Their number, as the directory was read last.
    pub(super) names: u64,
    /// The reason of the first of them, until it is reported.
    pub(super) reason: Option<Box<ErrorKind>>,
    /// True if there were any when it was read last, which was reported.
    pub(super) is_reported: bool,
    /// True if a file that is new in it may be one of them, or of a directory that was one.
    pub(super) may_be_old: bool,
}

/// A file in a directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) identity: Identity,
    pub(super) state: State,
    /// The beginning of the last pass that wrote it back, or the last time that it was known not to be there. `None`
    /// for a file that is older than the guard, before its first pass.
    pub(super) since: Option<BootTime>,
    /// The kind of the reported problem that it has.
    pub(super) told: Option<Discriminant<ErrorKind>>,
    pub(super) is_met: bool,
}

impl Entry {
    /// Takes the file out, if there is one.
    pub(super) fn leave(&mut self) -> Option<Leaving> {
        match replace(&mut self.state, State::Denied) {
            State::Guarded(file) => {
                Some(Leaving { file, identity: self.identity, since: self.since })
            }
            State::Refused(_) | State::Denied => None,
        }
    }
}

/// A file that has left the tree, or is replaced: it is written back once more.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) file: GuardedFile,
    pub(super) identity: Identity,
    /// As in [`Entry`].
    pub(super) since: Option<BootTime>,
}

/// The state of a file.
#[derive(Debug)]
pub(super) enum State {
    Guarded(GuardedFile),
    /// The file cannot be guarded while it has this size.
    Refused(u64),
    /// The file cannot be guarded now, for a reason whose end the file does not show.
    Denied,
}

impl State {
    /// Returns the state of a file of this size that cannot be guarded for a reason.
    pub(super) const fn without(reason: &ErrorKind, size: u64) -> Self {
        match reason {
            ErrorKind::Os { .. } | ErrorKind::NoPermission | ErrorKind::TooManyFiles { .. } => {
                Self::Denied
            }
            _ => Self::Refused(size),
        }
    }

    pub(super) const fn guarded(&self) -> Option<&GuardedFile> {
        match self {
            Self::Guarded(guarded) => Some(guarded),
            Self::Refused(_) | Self::Denied => None,
        }
    }

    pub(super) const fn is_guarded(&self) -> bool {
        matches!(self, Self::Guarded(_))
    }
}
