//! Names that a look finds, and those that it misses.

use super::{entry, guard, look, work};
use crate::dax::guard::Guard;
use crate::dax::guard::notices::{IfGone, Notices};
use crate::dax::guard::pace::BootTime;
use crate::dax::guard::watched::file_systems::LOCAL;
use crate::dax::guard::watched::found::Found;
use crate::dax::guard::watched::{READS, Watched, Work};
use crate::dax::system::file_system_at;
use crate::dax::{Error, ErrorKind, FaultHandler, NotSupported, Options};
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Notices of the directory name it, and the directory is found below one of the two roots alone.
#[test]
fn a_new_file_beside_a_file_that_is_a_root_too_is_found_by_its_notice() {
    let test = "a_new_file_beside_a_file_that_is_a_root_too_is_found_by_its_notice";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, [1; 100]).unwrap();
    for roots in [[directory.path(), &file], [&file, directory.path()]] {
        let new = directory.path().join("new");
        let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
        for root in roots {
            guard.add(root).unwrap();
        }
        assert_eq!(guard.pass().files, 1);
        if !guard.watched.notices.are_complete() {
            return crate::skip::skip(test, "no notices here");
        }
        fs::write(&new, [1; 100]).unwrap();
        look(&mut guard);
        assert_eq!(guard.watched.files().count(), 2, "{roots:?}");
        fs::remove_file(new).unwrap();
    }
}

/// The directory was read, and the file was renamed before it was looked at. Only the notice of that is left.
#[test]
fn a_file_that_is_renamed_while_it_is_looked_for_is_found() {
    let test = "a_file_that_is_renamed_while_it_is_looked_for_is_found";
    for delay in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let path = |kind: &str, number: u32| directory.path().join(format!("{kind}{number}"));
        (0..100).for_each(|number| fs::write(path("log", number), [1]).unwrap());
        let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
        guard.add(directory.path()).unwrap();
        let began = Instant::now();
        let pass = std::thread::scope(|scope| {
            scope.spawn(|| {
                while began.elapsed() < delay * Duration::from_micros(100) {}
                (0..100).for_each(|number| {
                    fs::rename(path("log", number), path("moved", number)).unwrap();
                });
            });
            guard.pass()
        });
        if !guard.watched.notices.are_complete() {
            return crate::skip::skip(test, "no notices here");
        }
        assert!(pass.files == 100 || pass.is_unsettled, "{} after {delay} times", pass.files);
    }
}

/// It can have another name, and then the pass has not all files.
#[test]
fn a_name_that_is_gone_when_it_is_looked_at_is_missed_unless_its_file_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    let mut look_at = |name: &str, if_gone| {
        guard.watched.has_missed = false;
        let names = [(name.into(), if_gone)].into();
        work(&mut guard, |watched, work| {
            watched.look_at_names(directory.path(), &names, work);
        });
        guard.watched.has_missed
    };
    fs::remove_file(&file).unwrap();
    let known = look_at("file", IfGone::MissedUnlessKnown);
    assert!(!known, "it is written back once more, whichever name it has");
    assert!(look_at("other", IfGone::MissedUnlessKnown));
    assert!(look_at("other", IfGone::Missed));
    assert!(!look_at("other", IfGone::NotMissed), "it was removed");
}

/// Programs that replace a file write a temporary one and rename it.
#[test]
fn a_file_that_is_renamed_into_its_place_is_found_by_one_look() {
    let directory = tempfile::tempdir().unwrap();
    let [temporary, file] = ["temporary", "file"].map(|name| directory.path().join(name));
    let mut guard = guard(directory.path());
    if !guard.watched.notices.are_complete() {
        let test = "a_file_that_is_renamed_into_its_place_is_found_by_one_look";
        return crate::skip::skip(test, "no notices here");
    }
    for times in 1..4 {
        for _ in 0..times {
            fs::write(&temporary, [1; 100]).unwrap();
            fs::rename(&temporary, &file).unwrap();
        }
        assert!(!misses(&mut guard, || {}));
        let found = Found::at(CWD, &file).unwrap();
        assert_eq!(entry(&guard, &file).identity, found.identity);
    }
}

/// A notice of its other name is heard by the next look, if that is a name of the tree.
#[test]
fn a_file_that_has_another_name_by_now_is_missed() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let away = elsewhere.path().join("file");
    let [temporary, file, other] =
        ["temporary", "file", "other"].map(|name| directory.path().join(name));
    let mut guard = guard(directory.path());
    if !guard.watched.notices.are_complete() {
        let test = "a_file_that_has_another_name_by_now_is_missed";
        return crate::skip::skip(test, "no notices here");
    }
    let make = |path: &Path| fs::write(path, [1; 100]).unwrap();
    make(&temporary);
    fs::rename(&temporary, &away).unwrap();
    assert!(misses(&mut guard, || {}), "moved away");
    assert!(!misses(&mut guard, || {}), "and not heard of again");
    make(&file);
    assert!(misses(&mut guard, || fs::rename(&file, &away).unwrap()), "new");
    for path in [&file, &other] {
        make(path);
    }
    assert!(!misses(&mut guard, || {}));
    make(&temporary);
    fs::rename(&temporary, &file).unwrap();
    assert!(misses(&mut guard, || fs::rename(&file, &away).unwrap()), "not the known file");
    make(&file);
    assert!(!misses(&mut guard, || {}));
    renameat_with(CWD, &file, CWD, &other, RenameFlags::EXCHANGE).unwrap();
    assert!(misses(&mut guard, || fs::rename(&other, &away).unwrap()), "exchanged");
}

/// Looks at the names of which notices were heard, after another change. Returns true if a file may be missed.
fn misses(guard: &mut Guard, change: impl FnOnce()) -> bool {
    let heard = guard.watched.notices.heard();
    assert!(!heard.everything);
    change();
    guard.watched.has_missed = false;
    work(guard, |watched, work| {
        for (directory, names) in &heard.names {
            watched.look_at_names(directory, names, work);
        }
    });
    guard.watched.has_missed
}

#[test]
fn a_file_system_that_is_mounted_below_is_reported_and_outside() {
    let test = "a_file_system_that_is_mounted_below_is_reported_and_outside";
    let [above, below] = ["/dev", "/dev/shm"].map(Path::new);
    let device = |path: &Path| Found::at(CWD, path).map(|found| found.device());
    if !device(below).is_ok_and(|below| Ok(below) != device(above)) {
        return crate::skip::skip(test, "nothing is mounted at /dev/shm");
    }
    for is_added in [false, true] {
        let mut watched = Watched::default();
        watched.add(above);
        if is_added {
            watched.add(below);
        }
        let (options, mut problems) = (Options::new(), Vec::new());
        let installed = FaultHandler::install().unwrap();
        let (began, problems) = (BootTime::now(), &mut problems);
        watched.look(&mut Work { options: &options, installed, began, problems });
        let is_named = |error: &Error| {
            matches!(error.kind(), ErrorKind::NotSupported(NotSupported::MountedBelow))
                && error.path() == below
        };
        assert_eq!(problems.iter().any(is_named), !is_added, "{problems:?}");
        assert_eq!(watched.unseen.contains(below), !is_added);
    }
}

/// Notices of a remote file system do not report all names.
#[test]
fn the_file_system_of_a_root_is_asked_for_at_each_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut guard = guard(directory.path());
    let expected = file_system_at(directory.path()).is_some_and(|name| LOCAL.contains(&name));
    // Another one was mounted there before.
    let root = &mut guard.watched.roots[0];
    (root.is_local, root.identity) = (!expected, None);
    look(&mut guard);
    assert_eq!(guard.watched.roots[0].is_local, expected);
    assert!(expected || !guard.watched.notices.are_complete());
}

/// A reset gives it its name back, if that change is in memory alone.
#[test]
fn a_file_that_is_removed_after_the_look_is_written_back() {
    let directory = tempfile::tempdir().unwrap();
    let [temporary, file] = ["temporary", "file"].map(|name| directory.path().join(name));
    fs::write(&file, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    let pass = |guard: &mut Guard, change: &dyn Fn()| {
        let mut files = 0;
        work(guard, |watched, work| {
            watched.look_again();
            watched.look(work);
            change();
            files = watched.write_back(work, &mut |_| ()).files;
        });
        files
    };
    let replace = || {
        fs::write(&temporary, [2; 100]).unwrap();
        fs::rename(&temporary, &file).unwrap();
    };
    assert_eq!(pass(&mut guard, &replace), 1);
    assert_eq!(pass(&mut guard, &|| ()), 1, "the one after it");
    assert_eq!(pass(&mut guard, &|| fs::remove_file(&file).unwrap()), 1);
    assert_eq!(pass(&mut guard, &|| ()), 0, "it was removed before the look");
    assert!(guard.watched.elsewhere.is_empty());
}

/// A program that makes directories all the time must not keep a pass busy.
#[test]
fn directories_that_change_without_a_pause_are_left_to_the_next_pass() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    let mut guard = guard(directory.path());
    if !guard.watched.notices.are_complete() {
        let test = "directories_that_change_without_a_pause_are_left_to_the_next_pass";
        return crate::skip::skip(test, "no notices here");
    }
    let (mut looks, mut has_read) = (0, false);
    work(&mut guard, |watched, work| {
        let hear = |notices: &mut Notices| {
            looks += 1;
            fs::create_dir(&below).unwrap();
            fs::remove_dir(&below).unwrap();
            notices.heard()
        };
        has_read = watched.look_until_settled(false, hear, work);
    });
    assert!(has_read && guard.watched.is_unsettled && guard.watched.has_missed);
    assert!(guard.watched.looked.is_none(), "the next pass reads directories");
    assert_eq!(looks, READS + 1, "the last one is not made");
}
