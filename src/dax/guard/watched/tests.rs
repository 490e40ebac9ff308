//! Names and files that are as a pass has left them, though a reset would not leave them so.

use super::super::Guard;
use super::{Notices, State, Watched};
use crate::cache::Cache;
use crate::dax::FaultHandler;
use core::time::Duration;
use std::fs;
use std::path::Path;
use std::time::Instant;

impl Watched {
    /// Has all lines written back, on whichever medium they are.
    pub(in super::super) fn take_lines(&mut self, cache: Cache) {
        let entries = self.directories.values_mut().flat_map(|found| found.files.values_mut());
        for entry in entries {
            if let State::Guarded(guarded) = &mut entry.state {
                guarded.take_lines(cache);
            }
        }
    }

    /// Ends the notices, and reads directories again only when it is asked to.
    pub(in super::super) fn deafen(&mut self) {
        self.notices = Notices::default();
        self.looked = Some((Instant::now(), Duration::from_secs(3600)));
    }
}

fn guard(directory: &Path) -> Guard {
    let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
    guard.add(directory).unwrap();
    guard.pass();
    guard
}

fn has_new_names(guard: &Guard, directory: &Path) -> bool {
    guard.watched.directories[directory].has_new_names
}

/// A reset leaves the file with the name that it had for a moment, if the journal was committed then.
#[test]
fn a_name_that_a_file_has_got_back_is_to_be_synced() {
    let directory = tempfile::tempdir().unwrap();
    let (file, moved) = (directory.path().join("file"), directory.path().join("moved"));
    fs::write(&file, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    if !guard.watched.notices.are_complete() {
        let name = "a_name_that_a_file_has_got_back_is_to_be_synced";
        return crate::skip::skip(name, "no notices here");
    }
    let hear = |guard: &mut Guard| {
        let heard = guard.watched.notices.heard();
        guard.watched.doubt(&heard);
    };
    hear(&mut guard);
    assert!(!has_new_names(&guard, directory.path()), "the pass has synced them");
    fs::rename(&file, &moved).unwrap();
    fs::rename(&moved, &file).unwrap();
    hear(&mut guard);
    assert!(has_new_names(&guard, directory.path()));
    guard.pass();
    assert!(!has_new_names(&guard, directory.path()));
}

/// It has the same names as the one before, and its files were durable elsewhere.
#[test]
fn a_directory_that_replaces_another_one_is_to_be_synced() {
    let directory = tempfile::tempdir().unwrap();
    let [tree, next, former] = ["tree", "next", "former"].map(|name| directory.path().join(name));
    for path in [&tree, &next] {
        fs::create_dir_all(path.join("below")).unwrap();
        fs::write(path.join("below/file"), [1; 100]).unwrap();
    }
    let mut guard = guard(&tree);
    let meet = |guard: &mut Guard| {
        let (_, identity) = guard.watched.open(0, &tree).unwrap();
        guard.watched.met(0, &tree, Some(identity.0), identity);
    };
    meet(&mut guard);
    assert!(!has_new_names(&guard, &tree), "the pass has synced it");
    fs::rename(&tree, &former).unwrap();
    fs::rename(&next, &tree).unwrap();
    meet(&mut guard);
    assert!(has_new_names(&guard, &tree));
}
