//! Names that are more than a guard keeps.

use super::super::room::{COPIES, DIRECTORY, Room, Size};
use super::{guard_by_pages, work};
use crate::dax::guard::Guard;
use crate::dax::{Error, ErrorKind, NotSupported, Options};
use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A guard that refuses new files of the page cache, with room for two names outside.
fn refusing_guard(directory: &Path, test: &str) -> Option<Guard> {
    let mut guard = guard_by_pages(directory, test)?;
    guard.options = Options::new().take_unwritten();
    guard.watched.room = Room::of(Size { outside: 2, directories: 1 << 20 });
    Some(guard)
}

/// Returns the number of names that are outside, and of problems, in a pass that reads directories.
fn pass(guard: &mut Guard) -> (u64, Vec<ErrorKind>) {
    let pass = guard.pass();
    (pass.outside, pass.problems.iter().map(|error| error.kind().clone()).collect())
}

/// Reads all directories, and writes nothing back. Returns the problems.
fn read(guard: &mut Guard) -> Vec<Error> {
    work(guard, |watched, work| {
        watched.look_again();
        watched.look(work);
    })
}

#[test]
fn refused_names_beyond_the_room_are_counted_and_one_is_reported() {
    let test = "refused_names_beyond_the_room_are_counted_and_one_is_reported";
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("known"), [1; 100]).unwrap();
    let Some(mut guard) = refusing_guard(directory.path(), test) else { return };
    let path = |name: u32| directory.path().join(name.to_string());
    for name in 0..10 {
        fs::write(path(name), [1; 100]).unwrap();
    }
    let is_refused = |kind: &ErrorKind| matches!(kind, ErrorKind::PageGranular { .. });
    let (outside, problems) = pass(&mut guard);
    assert_eq!(outside, 10);
    assert!(problems.len() == 3 && problems.iter().all(is_refused), "{problems:?}");
    assert_eq!(guard.watched.directories[directory.path()].files.len(), 3);
    // They stay, without a word; a notice of one is not of one more.
    assert_eq!(pass(&mut guard), (10, vec![]));
    for name in 0..10 {
        fs::set_permissions(path(name), fs::metadata(path(name)).unwrap().permissions()).unwrap();
    }
    assert!(work(&mut guard, super::Watched::look).is_empty());
    assert_eq!(guard.pass_with(|_| ()).outside, 10);
    for name in 0..9 {
        fs::remove_file(path(name)).unwrap();
    }
    assert_eq!(pass(&mut guard).0, 1);
    // It is reported again if it happens again.
    for name in 0..4 {
        fs::write(path(name), [1; 100]).unwrap();
    }
    let (outside, problems) = pass(&mut guard);
    assert!(outside == 5 && !problems.is_empty(), "{outside} {problems:?}");
}

/// Its bytes may be as old as the directory.
#[test]
fn a_file_of_a_directory_with_left_out_names_has_no_bound_before_its_first_pass() {
    let test = "a_file_of_a_directory_with_left_out_names_has_no_bound_before_its_first_pass";
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("known"), [1; 100]).unwrap();
    let Some(mut guard) = refusing_guard(directory.path(), test) else { return };
    for name in 0..3_u32 {
        fs::write(directory.path().join(name.to_string()), [1; 100]).unwrap();
    }
    assert_eq!(pass(&mut guard).0, 3);
    guard.options = Options::new().take_unwritten().allow_page_granularity();
    assert!(read(&mut guard).is_empty());
    let files = &guard.watched.directories[directory.path()].files;
    assert_eq!(files.values().filter(|entry| entry.state.is_guarded()).count(), 2);
    // Those that were kept are refused until their sizes change.
    assert_eq!(files.values().filter(|entry| entry.since.is_none()).count(), 1);
    // A file that is new after that has one.
    fs::write(directory.path().join("new"), [1; 100]).unwrap();
    assert!(work(&mut guard, super::Watched::look).is_empty());
    assert!(super::entry(&guard, &directory.path().join("new")).since.is_some());
}

#[test]
fn directories_beyond_the_room_are_outside_and_known_ones_stay() {
    let test = "directories_beyond_the_room_are_outside_and_known_ones_stay";
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["1", "2"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("file"), [1; 100]).unwrap();
    }
    let Some(mut guard) = guard_by_pages(directory.path(), test) else { return };
    let len = directory.path().as_os_str().len();
    // For the root, those that are known, and one more.
    guard.watched.room = Room::of(Size { outside: 2, directories: room_for(len, 3) });
    for name in ["0", "3", "4", "5"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("file"), [1; 100]).unwrap();
    }
    let passed = guard.pass();
    assert_eq!((passed.files, passed.outside), (3, 3));
    let [problem] = &*passed.problems else { panic!("{:?}", passed.problems) };
    assert_eq!(problem.path(), directory.path());
    assert!(matches!(problem.kind(), ErrorKind::NotSupported(NotSupported::TooManyDirectories)));
    for name in ["1", "2"] {
        assert!(guard.watched.directories.contains_key(&path(name)), "{name}");
    }
    fs::remove_dir_all(path("1")).unwrap();
    assert_eq!(pass(&mut guard), (2, vec![]));
}

/// Returns the bytes of a directory whose path has `len` bytes, and of directories in it that have names of one byte.
const fn room_for(len: usize, directories: usize) -> usize {
    DIRECTORY + COPIES * len + directories * (DIRECTORY + COPIES * (len + 2)) + COPIES
}

/// Its directories are known under the old name until all are read.
#[test]
fn a_renamed_tree_needs_no_room_for_both_of_its_names() {
    let test = "a_renamed_tree_needs_no_room_for_both_of_its_names";
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["0", "1", "2"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("file"), [1; 100]).unwrap();
    }
    let Some(mut guard) = guard_by_pages(directory.path(), test) else { return };
    let directories = room_for(directory.path().as_os_str().len(), 4);
    guard.watched.room = Room::of(Size { outside: 2, directories });
    for (from, to) in [("0", "3"), ("1", "4"), ("2", "5")] {
        fs::rename(path(from), path(to)).unwrap();
    }
    let passed = guard.pass();
    assert_eq!((passed.files, passed.outside, passed.problems.len()), (3, 0, 0));
}

/// Another user can have names left out, and the bound of the files in other directories must not end by that.
#[test]
fn a_new_file_beside_left_out_names_keeps_its_bound() {
    let test = "a_new_file_beside_left_out_names_keeps_its_bound";
    let directory = tempfile::tempdir().unwrap();
    let known = directory.path().join("known");
    fs::create_dir(&known).unwrap();
    fs::write(known.join("file"), [1; 100]).unwrap();
    let Some(mut guard) = refusing_guard(directory.path(), test) else { return };
    let directories = room_for(directory.path().as_os_str().len(), 1) + COPIES * 4;
    guard.watched.room = Room::of(Size { outside: 2, directories });
    for name in 0..5_u32 {
        fs::create_dir(directory.path().join(name.to_string())).unwrap();
    }
    assert_eq!(pass(&mut guard).0, 5);
    guard.options = Options::new().take_unwritten().allow_page_granularity();
    fs::write(known.join("new"), [1; 100]).unwrap();
    assert!(work(&mut guard, super::Watched::look).is_empty());
    assert!(super::entry(&guard, &known.join("new")).since.is_some());
    // A directory that was left out may be as old as the guard, and so its files.
    fs::write(directory.path().join("4").join("old"), [1; 100]).unwrap();
    guard.watched.room = Room::default();
    read(&mut guard);
    assert!(super::entry(&guard, &directory.path().join("4").join("old")).since.is_none());
}

/// A failure that `syncfs` reports by one descriptor is reported by its duplicates no more.
#[test]
fn names_are_synced_by_a_file_of_their_own() {
    let test = "names_are_synced_by_a_file_of_their_own";
    let directory = tempfile::tempdir().unwrap();
    let mut guard = super::guard(directory.path());
    let watched = &mut guard.watched;
    let open = fs::File::open(directory.path()).unwrap();
    let device = fs::metadata(directory.path()).unwrap().dev();
    let left = (0..65).map(|_| watched.leave_names(open.as_fd(), device, 0));
    if left.filter(|is_left| *is_left).count() == 0 {
        return crate::skip::skip(test, "this file system is not synced as a whole");
    }
    let left = watched.unsynced.0[&device].left.as_ref().unwrap();
    rustix::fs::fcntl_setfl(left, rustix::fs::OFlags::NONBLOCK).unwrap();
    let flags = rustix::fs::fcntl_getfl(&open).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "both are one open file");
}

/// A path that is too long, and one that this user may not read.
#[test]
fn directories_that_cannot_be_read_are_kept_up_to_a_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut guard = super::guard(directory.path());
    guard.watched.room = Room::of(Size { outside: 2, directories: 1 << 20 });
    let problems = work(&mut guard, |watched, work| {
        for name in 0..10_u32 {
            let path = directory.path().join(name.to_string());
            watched.cannot_look_at(&path, rustix::io::Errno::ACCESS, work.problems);
        }
        watched.report_left_out(work.problems);
    });
    let watched = &guard.watched;
    let paths: Vec<_> = problems.iter().map(Error::path).collect();
    assert_eq!(
        paths,
        [&*directory.path().join("0"), &directory.path().join("1"), directory.path()]
    );
    assert_eq!((watched.unseen.len(), watched.unlooked.len()), (2, 2));
}

/// As after a failed sync of the file system.
#[test]
fn directories_whose_file_system_cannot_be_synced_are_synced_singly() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["1", "2"] {
        fs::create_dir(path(name)).unwrap();
    }
    let mut guard = super::guard(directory.path());
    let watched = &mut guard.watched;
    watched.directories.values_mut().for_each(|directory| directory.has_new_names = true);
    let device = fs::metadata(directory.path()).unwrap().dev();
    fs::remove_dir(path("2")).unwrap();
    let mut problems = Vec::new();
    watched.sync_singly(device, &mut problems);
    let paths: Vec<_> = problems.iter().map(Error::path).collect();
    assert_eq!(paths, [path("2")]);
    let left = watched.directories.iter().filter(|(_, directory)| directory.has_new_names);
    assert_eq!(left.map(|(path, _)| path).collect::<Vec<_>>(), [&path("2")]);
}
