//! Names and files that are as a pass has left them, though a reset would not leave them so.

use super::{guard, guard_by_pages, look};
use crate::cache::Cache;
use crate::dax::FaultHandler;
use crate::dax::guard::Guard;
use crate::dax::system::syncfs_reports_errors;
use alloc::vec::Vec;
use std::fs;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

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

fn is_durable(guard: &mut Guard) -> bool {
    let heard = guard.watched.notices.heard();
    guard.watched.doubt(&heard);
    guard.watched.files().next().unwrap().is_durable()
}

/// The blocks of the file can be the former ones, and a reset leaves the empty file if the journal was committed
/// between both. The single file is watched by itself. A directory is watched once, also if it is below two roots, and
/// the files of the other one need not have lines.
#[test]
fn a_file_that_was_cut_and_has_grown_to_its_former_size_is_to_be_synced() {
    let test = "a_file_that_was_cut_and_has_grown_to_its_former_size_is_to_be_synced";
    let Ok(cache) = Cache::host() else { return crate::skip::skip(test, "no cache") };
    let tree = tempfile::tempdir().unwrap();
    let directory = tree.path().join("below");
    let path = directory.join("file");
    fs::create_dir(&directory).unwrap();
    fs::write(&path, [1; 100]).unwrap();
    let rows: [&[&Path]; 4] = [&[&directory], &[&path], &[tree.path()], &[&directory, tree.path()]];
    for roots in rows {
        let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
        for root in roots {
            guard.add(root).unwrap();
        }
        guard.pass();
        guard.watched.take_lines(cache);
        if let Some(problem) = guard.pass().problems.pop() {
            return crate::skip::skip(test, problem);
        }
        if !guard.watched.notices.are_complete() {
            return crate::skip::skip(test, "no notices here");
        }
        assert!(is_durable(&mut guard), "the pass has synced it");
        // The write cuts the file to nothing first.
        fs::write(&path, [2; 100]).unwrap();
        assert!(!is_durable(&mut guard), "{roots:?}");
        guard.pass();
        assert!(is_durable(&mut guard));
    }
}

/// The directory is not read again for it.
#[test]
fn a_new_file_with_lines_is_to_be_synced_after_a_call_that_modified_it() {
    let test = "a_new_file_with_lines_is_to_be_synced_after_a_call_that_modified_it";
    let Ok(cache) = Cache::host() else { return crate::skip::skip(test, "no cache") };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let mut guard = guard(directory.path());
    if !guard.watched.notices.are_complete() {
        return crate::skip::skip(test, "no notices here");
    }
    fs::write(&path, [1; 100]).unwrap();
    look(&mut guard);
    guard.watched.take_lines(cache);
    fs::write(directory.path().join("other"), [1; 100]).unwrap();
    if let Some(problem) = guard.pass_with(|_| ()).problems.pop() {
        return crate::skip::skip(test, problem);
    }
    fs::remove_file(directory.path().join("other")).unwrap();
    look(&mut guard);
    assert!(is_durable(&mut guard), "the pass has synced it");
    fs::write(&path, [2; 100]).unwrap();
    assert!(!is_durable(&mut guard));
}

/// The new directory has the same names as the one before, and its files were durable elsewhere.
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
        guard.watched.met(0, &tree, Some(identity.device), identity);
    };
    meet(&mut guard);
    assert!(!has_new_names(&guard, &tree), "the pass has synced it");
    fs::rename(&tree, &former).unwrap();
    fs::rename(&next, &tree).unwrap();
    meet(&mut guard);
    assert!(has_new_names(&guard, &tree));
}

/// A file system that is mounted later can get the number of its device.
#[test]
fn the_conclusion_about_a_file_system_ends_with_its_last_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    let device = guard.watched.files().next().unwrap().device();
    let concluded = |guard: &mut Guard| {
        let mut devices = Vec::new();
        guard.watched.concluded.retain(|device| {
            devices.push(device);
            true
        });
        devices
    };
    guard.pass();
    assert_eq!(concluded(&mut guard), [device]);
    fs::remove_file(&file).unwrap();
    guard.pass();
    assert!(concluded(&mut guard).is_empty());
}

/// `syncfs` reports the failures since its descriptor was opened: a file that comes later has not seen those before.
#[test]
fn a_file_system_is_synced_by_a_descriptor_that_is_older_than_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str| fs::write(directory.path().join(name), [1; 100]).unwrap();
    write("m");
    let test = "a_file_system_is_synced_by_a_descriptor_that_is_older_than_its_files";
    let Some(mut guard) = guard_by_pages(directory.path(), test) else { return };
    let numbers = |guard: &Guard| -> Vec<RawFd> {
        guard.watched.file_systems.directories.values().map(AsRawFd::as_raw_fd).collect()
    };
    let first = numbers(&guard);
    assert_eq!(first.len(), usize::from(syncfs_reports_errors()));
    write("a");
    guard.watched.look_again();
    guard.pass();
    assert_eq!(guard.files().count(), 2);
    assert_eq!(numbers(&guard), first, "the newer file comes first by its name");
    for name in ["a", "m"] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    guard.watched.look_again();
    guard.pass();
    assert!(numbers(&guard).is_empty(), "a file system without files can be unmounted");
}
