//! Limits of the memory for names. Another user can make millions of them: a hard link needs no block of its own.
//!
//! The descriptors of the process limit the guarded files. Directories have a limit here, and so have names that are outside
//! of the bound, which are kept with their reasons. The names beyond it are left out: each directory has their number, and
//! one of them is reported.

use super::Watched;
use super::known::Directory;
use crate::dax::{Error, ErrorKind};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem::take;
use std::path::{Path, PathBuf};

/// Names outside of the bound that are kept.
const MOST_OUTSIDE: usize = 4096;
/// Bytes that directories may take.
const MOST_DIRECTORIES: usize = 32 << 20;
/// Bytes of a directory beside its path.
pub(super) const DIRECTORY: usize = 512;
/// The copies of a path: the directory's, its watch's, and two while directories are read.
pub(super) const COPIES: usize = 4;

/// The room that is left for names.
#[derive(Debug)]
pub(super) struct Room {
    most: Size,
    left: Size,
    /// True while directories are read: each name is met once.
    is_reading: bool,
    /// True if a directory was left out in this read.
    lacks_directories: bool,
    /// True if a directory has left out names that are not reported.
    has_unreported: bool,
    /// The error of a file for which no descriptor was left, in this look: it has none for another file, either.
    pub(super) no_descriptor: Option<ErrorKind>,
}

/// Names outside of the bound, and bytes of directories.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) outside: usize,
    pub(super) directories: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(Size { outside: MOST_OUTSIDE, directories: MOST_DIRECTORIES })
    }
}

impl Room {
    pub(super) const fn of(most: Size) -> Self {
        Self {
            most,
            left: most,
            is_reading: false,
            lacks_directories: false,
            has_unreported: false,
            no_descriptor: None,
        }
    }

    /// Begins to read directories. Those that are known, and their files, stay.
    pub(super) fn begin(&mut self, known: &BTreeMap<PathBuf, Directory>) {
        let taken = known.keys().map(|path| size(path)).sum();
        let files = known.values().flat_map(|directory| directory.files.values());
        let outside = files.filter(|entry| !entry.state.is_guarded()).count();
        self.left = Size {
            outside: self.most.outside.saturating_sub(outside),
            directories: self.most.directories.saturating_sub(taken),
        };
        self.is_reading = true;
        self.lacks_directories = false;
    }

    /// Ends the read. Returns true if a directory was left out.
    pub(super) const fn end(&mut self) -> bool {
        self.is_reading = false;
        self.lacks_directories
    }

    /// Returns true if a new directory may be kept.
    pub(super) fn take_directory(&mut self, path: &Path) -> bool {
        let left = self.left.directories.checked_sub(size(path));
        self.left.directories = left.unwrap_or(self.left.directories);
        self.lacks_directories |= left.is_none();
        left.is_some()
    }

    /// Returns true if one more name that is outside of the bound may be kept.
    pub(super) fn take_outside(&mut self) -> bool {
        let left = self.left.outside.checked_sub(1);
        self.left.outside = left.unwrap_or(0);
        left.is_some()
    }

    /// Returns the error of one more file if it cannot be opened, nor be kept.
    pub(super) fn refusal(&self) -> Option<ErrorKind> {
        self.no_descriptor.clone().filter(|_| self.left.outside == 0)
    }
}

/// Returns the bytes of a directory.
fn size(path: &Path) -> usize {
    DIRECTORY + COPIES * path.as_os_str().len()
}

impl Watched {
    /// Counts a name of a directory that is outside of the bound and is not kept.
    pub(super) fn leave_out(&mut self, directory: &Path, reason: &ErrorKind) {
        let Some(found) = self.directories.get_mut(directory) else { return };
        let left_out = &mut found.left_out;
        // Between two reads a notice can be of a name that is counted.
        if self.room.is_reading || left_out.names == 0 {
            left_out.names += 1;
        }
        left_out.may_be_old = true;
        if !left_out.is_reported && left_out.reason.is_none() {
            left_out.reason = Some(Box::new(reason.clone()));
            self.room.has_unreported = true;
        }
    }

    /// Reports each directory once of which names are left out, for as long as that lasts.
    pub(super) fn report_left_out(&mut self, problems: &mut Vec<Error>) {
        if !take(&mut self.room.has_unreported) {
            return;
        }
        for (path, directory) in &mut self.directories {
            if let Some(reason) = directory.left_out.reason.take() {
                directory.left_out.is_reported = true;
                problems.push(Error::new(path, *reason));
            }
        }
    }
}
