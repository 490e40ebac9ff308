//! Looks at trees whose files and names change between them.

#![expect(clippy::unwrap_used, reason = "a directory that cannot be guarded is a finding")]

mod ages;
mod names;
mod room;
mod synced;

use super::super::Guard;
use super::super::pace::BootTime;
use super::known::Entry;
use super::{Notices, Watched, Work};
use crate::cache::Cache;
use crate::dax::{Error, FaultHandler};
use alloc::vec::Vec;
use core::time::Duration;
use std::path::Path;

impl Watched {
    /// Has all lines written back, on whichever medium they are.
    pub(in super::super) fn take_lines(&mut self, cache: Cache) {
        self.files_mut().for_each(|file| file.take_lines(cache));
    }

    /// Ends the notices, and reads directories again only when it is asked to.
    pub(in super::super) fn deafen(&mut self) {
        self.notices = Notices::default();
        self.looked = Some((BootTime::now(), Duration::from_secs(3600)));
    }
}

fn guard(directory: &Path) -> Guard {
    let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
    guard.add(directory).unwrap();
    guard.pass();
    guard
}

/// The same, or none if files there are written back by lines, which do not fail.
fn guard_by_pages(directory: &Path, test: &str) -> Option<Guard> {
    let guard = guard(directory);
    if guard.watched.files().any(|file| file.cache().is_some()) {
        crate::skip::skip(test, "files here are written back by lines");
        return None;
    }
    Some(guard)
}

/// The entry of a name in the directory that is guarded.
fn entry<'g>(guard: &'g Guard, path: &Path) -> &'g Entry {
    let directory = &guard.watched.directories[path.parent().unwrap()];
    &directory.files[path.file_name().unwrap()]
}

/// Looks at the tree, and writes nothing back.
fn look(guard: &mut Guard) {
    let problems = work(guard, Watched::look);
    assert!(problems.is_empty(), "{problems:?}");
}

/// Does a part of a pass that begins now. Returns its problems.
fn work(guard: &mut Guard, act: impl FnOnce(&mut Watched, &mut Work<'_>)) -> Vec<Error> {
    let (options, mut problems) = (guard.options.clone(), Vec::new());
    let (installed, began) = (FaultHandler::install().unwrap(), BootTime::now());
    let mut work = Work { options: &options, installed, began, problems: &mut problems };
    act(&mut guard.watched, &mut work);
    problems
}
