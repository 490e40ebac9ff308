//! Files that are opened to be guarded, and the moment from which each counts.

use super::super::descent;
use super::super::guarded::GuardedFile;
use super::former::{Former, since_or_unknown};
use super::found::{Found, Place};
use super::known::{Entry, State};
use super::{Watched, Work};
use crate::dax::{Error, ErrorKind, Options};
use core::mem::discriminant;
use core::time::Duration;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Instant;

impl Watched {
    /// Opens a file that is new, or that could not be taken before.
    pub(super) fn take(
        &mut self,
        place: &Place<'_>,
        name: &OsStr,
        found: &Found,
        work: &mut Work<'_>,
    ) {
        let began = Instant::now();
        let path = place.path.join(name);
        let opened = self.open_file(place, name, &path, work.options);
        // A file that is refused may be opened again each time.
        self.opening += if opened.is_ok() { began.elapsed() } else { Duration::ZERO };
        let Some(directory) = self.directories.get_mut(place.path) else { return };
        let (root, before) = (directory.root, directory.files.remove(name));
        let may_be_old = directory.left_out.may_be_old;
        let was_kept = before.as_ref().is_some_and(|entry| !entry.state.is_guarded());
        // Another file can have come between the look and the opening.
        let found = opened.as_ref().map_or(*found, |(found, _)| *found);
        let identity = found.identity;
        let same = before.as_ref().filter(|entry| entry.identity == identity).map(Former::of);
        let mut told = before.as_ref().and_then(|entry| entry.told);
        self.let_leave(before);
        let former = same.or_else(|| self.formers.of(identity, &self.directories));
        // The server of another file system may have another clock.
        let is_local = self.roots.get(root).is_some_and(|root| root.is_local);
        let born = identity.born.filter(|_| is_local);
        // It may be one of those that were left out.
        let since_look = place.since.filter(|_| !may_be_old);
        let since = former.map_or_else(
            || since_or_unknown(self.looked_since(&path, since_look), born),
            |former| former.since,
        );
        let state = match opened {
            Ok((_, mut guarded)) => {
                guarded.take_failure(self.lost.of(identity));
                // It is back. A failure before this opening may be reported to the former descriptor alone.
                self.leaving.extend(self.elsewhere.remove(&identity));
                State::Guarded(guarded)
            }
            Err(error) => match error.kind() {
                // The file is gone meanwhile, or something else has its name.
                ErrorKind::Missing | ErrorKind::SymbolicLink | ErrorKind::NotRegular => {
                    self.has_missed = true;
                    return;
                }
                kind => {
                    if let ErrorKind::TooManyFiles { .. } = kind {
                        self.is_to_retry = true;
                        self.room.no_descriptor = Some(kind.clone());
                    }
                    if !was_kept && !self.is_root(&path) && !self.room.take_outside() {
                        return self.leave_out(place.path, kind);
                    }
                    let state = State::without(kind, found.size);
                    let kind = Some(discriminant(kind));
                    if told != kind {
                        told = kind;
                        work.problems.push(error);
                    }
                    state
                }
            },
        };
        let entry = Entry { identity, state, since, told, is_met: true };
        if let Some(directory) = self.directories.get_mut(place.path) {
            directory.has_new_names |= same.is_none();
            directory.files.insert(name.to_os_string(), entry);
        }
    }

    fn open_file(
        &mut self,
        place: &Place<'_>,
        name: &OsStr,
        path: &Path,
        options: &Options,
    ) -> Result<(Found, GuardedFile), Error> {
        self.file_systems.meet(place.open);
        let file = descent::file(place.open, name, path, place.device.is_none())?;
        // Another file can have the name by now.
        let found = Found::of(&file).map_err(|errno| Error::os(path, "statx", &errno.into()))?;
        if !place.takes(&found) {
            return Err(Error::new(path, ErrorKind::NotRegular));
        }
        let cache = options.cache_or_host().ok();
        let guarantee = self.concluded.guarantee(path, &file, cache)?;
        let guarded =
            GuardedFile::new(path, file, (found.device(), found.size), guarantee, options)?;
        Ok((found, guarded))
    }
}
