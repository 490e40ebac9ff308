//! Names that are more than a guard keeps.

use super::super::room::{DIRECTORY, Room, Size};
use super::{guard_by_pages, work};
use crate::dax::guard::Guard;
use crate::dax::{ErrorKind, NotSupported, Options};
use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;
use std::fs;
use std::path::Path;

/// A guard of an empty directory that refuses files of the page cache, with room for two names outside.
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
    assert!(
        work(&mut guard, |watched, work| {
            watched.look_again();
            watched.look(work);
        })
        .is_empty()
    );
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
    let directories = DIRECTORY + len + 3 * (DIRECTORY + len + 2) + 1;
    guard.watched.room = Room::of(Size { outside: 2, directories });
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
    assert_eq!(pass(&mut guard), (3, vec![]));
    assert_eq!(pass(&mut guard), (2, vec![]), "the room is that of the directories before a read");
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
    });
    let watched = &guard.watched;
    let paths: Vec<_> = problems.iter().map(crate::dax::Error::path).collect();
    assert_eq!(
        paths,
        [&*directory.path().join("0"), &directory.path().join("1"), directory.path()]
    );
    assert_eq!((watched.unseen.len(), watched.unlooked.len()), (2, 3));
}
