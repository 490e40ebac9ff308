//! Paths that a look cannot reach: each is reported once, and everything known below it is kept.

use super::former::Moment;
use super::{Root, Watched};
use crate::dax::{Error, ErrorKind, NotSupported};
use alloc::vec::Vec;
use rustix::io::Errno;
use std::path::Path;

impl Watched {
    /// Reports a file system or file that is mounted at a name: it belongs to no path that was added.
    pub(super) fn is_mounted_at(&mut self, path: &Path, problems: &mut Vec<Error>) {
        if self.is_root(path) {
            return;
        }
        let error = Error::new(path, ErrorKind::NotSupported(NotSupported::MountedBelow));
        self.cannot_see(path, error, problems);
    }

    /// Reports a path that was added and is not there any more. It is guarded again when it is back.
    pub(super) fn is_gone(&mut self, number: usize, path: &Path, problems: &mut Vec<Error>) {
        if let Some(root) = self.roots.get_mut(number) {
            root.is_gone = true;
        }
        self.cannot_see(path, Error::new(path, ErrorKind::Gone), problems);
    }

    /// Handles a path that cannot be looked at. A path that does not exist any more counts as gone. Any other is reported,
    /// and everything known below it is kept.
    pub(super) fn cannot_look_at(&mut self, path: &Path, errno: Errno, problems: &mut Vec<Error>) {
        if matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP) {
            self.has_missed = true;
            return;
        }
        if errno == Errno::XDEV {
            return self.is_mounted_at(path, problems);
        }
        self.is_to_retry |= !matches!(errno, Errno::ACCESS | Errno::PERM | Errno::NAMETOOLONG);
        if self.cannot_see(path, Error::opening(path, &errno.into()), problems) {
            self.keep_unlooked(path);
        }
        let below = self.directories.range_mut(path.to_path_buf()..);
        for (_, directory) in below.take_while(|(below, _)| below.starts_with(path)) {
            directory.is_met = true;
            directory.files.values_mut().for_each(|entry| entry.is_met = true);
        }
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Some(entry) = self.entry(parent, name)
        {
            entry.is_met = true;
        }
    }

    /// Keeps the moment from which new files count at a path that cannot be looked at, and below.
    fn keep_unlooked(&mut self, path: &Path) {
        if self.unlooked.contains_key(path) {
            return;
        }
        let is_known = |root: &Root| root.is_known && path.starts_with(&root.path);
        let since = self.knew_all.filter(|_| self.roots.iter().any(is_known));
        let since = self.looked_since(path, since);
        let before = self.unlooked_before.range(path.to_path_buf()..);
        let before = before.take_while(|(below, _)| below.starts_with(path));
        let since = before.fold(since, |since, (_, before)| Moment::earlier(since, *before));
        self.unlooked.insert(path.to_path_buf(), since);
    }

    /// Returns the moment at which a new file was not at its path, if that is `since` for a path that could be looked at.
    pub(super) fn looked_since(&self, path: &Path, since: Option<Moment>) -> Option<Moment> {
        let paths = [&self.unlooked, &self.unlooked_before];
        let unlooked = paths
            .into_iter()
            .flat_map(|paths| path.ancestors().filter_map(|above| paths.get(above)).copied());
        unlooked.fold(since, Moment::earlier)
    }

    /// Reports the problem of a path once, for as long as it lasts. Returns false if the path is left out.
    pub(super) fn cannot_see(
        &mut self,
        path: &Path,
        error: Error,
        problems: &mut Vec<Error>,
    ) -> bool {
        let is_known = self.directories.contains_key(path) || self.is_root(path);
        if !is_known && !self.unseen.contains(path) && !self.room.take_outside() {
            self.leave_out(path.parent().unwrap_or(path), error.kind());
            return false;
        }
        self.unseen.insert(path.to_path_buf());
        if self.told.insert(path.to_path_buf()) {
            problems.push(error);
        }
        true
    }
}
