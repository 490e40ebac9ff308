//! The moment from which the stores of a file count, and its failure, under its present name and its former ones.

use super::{entry, guard, guard_by_pages, look, work};
use crate::dax::guard::Guard;
use crate::dax::guard::pace::BootTime;
use crate::dax::guard::watched::Watched;
use crate::dax::guard::watched::former::Moment;
use crate::dax::guard::watched::found::{Found, Identity, Place};
use crate::dax::guard::watched::known::{Entry, State};
use alloc::vec::Vec;
use core::mem::take;
use core::time::Duration;
use rustix::fs::CWD;
use rustix::io::Errno;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

fn entry_mut<'g>(guard: &'g mut Guard, path: &Path) -> &'g mut Entry {
    let directory = guard.watched.directories.get_mut(path.parent().unwrap()).unwrap();
    directory.files.get_mut(path.file_name().unwrap()).unwrap()
}

/// A rotated log has the stores of its former name.
#[test]
fn a_renamed_file_counts_from_the_moment_of_its_former_name() {
    let directory = tempfile::tempdir().unwrap();
    let [log, old, link] = ["log", "old", "link"].map(|name| directory.path().join(name));
    fs::write(&log, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    let long_ago = fail(&mut guard, &log);
    fs::rename(&log, &old).unwrap();
    fs::hard_link(&old, &link).unwrap();
    fs::write(&log, [2; 100]).unwrap();
    guard.watched.look_again();
    look(&mut guard);
    for path in [&old, &link] {
        let entry = entry(&guard, path);
        assert_eq!(entry.since, Some(long_ago), "{path:?}");
        assert_eq!(entry.state.guarded().unwrap().lost(), Some(5), "{path:?}");
    }
    let new = entry(&guard, &log);
    assert!(new.since.is_some_and(|since| since > long_ago), "another file");
    assert_eq!(new.state.guarded().unwrap().lost(), None);
}

/// File systems hand the inode number out again. The moment of creation differs.
#[test]
fn a_new_file_has_neither_the_age_nor_the_failure_of_a_removed_one() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [old, new] = ["old", "new"].map(|name| directory.path().join(name));
    fs::write(&old, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    let unnamed = elsewhere.path().join("new");
    fs::write(&unnamed, [2; 100]).unwrap();
    let identity = Found::at(CWD, &unnamed).unwrap().identity;
    let born = identity.born.and_then(|born| born.checked_sub(Duration::from_secs(60)));
    if born.is_none() {
        let test = "a_new_file_has_neither_the_age_nor_the_failure_of_a_removed_one";
        return crate::skip::skip(test, "no time of creation is kept");
    }
    entry_mut(&mut guard, &old).identity = Identity { born, ..identity };
    let long_ago = fail(&mut guard, &old);
    fs::remove_file(&old).unwrap();
    fs::rename(&unnamed, &new).unwrap();
    guard.watched.look_again();
    look(&mut guard);
    let entry = entry(&guard, &new);
    assert!(entry.since.is_some_and(|since| since > long_ago));
    assert_eq!(entry.state.guarded().unwrap().lost(), None);
}

/// Another file can get the inode number as soon as the file is closed.
#[test]
fn a_removed_file_is_forgotten_when_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    let identity = Found::at(CWD, &file).unwrap().identity;
    fs::remove_file(&file).unwrap();
    guard.pass();
    let Watched { formers, directories, .. } = &mut guard.watched;
    assert!(formers.of(identity, directories).is_none());
}

/// The file was exchanged for another one that was looked at, and was back when the name was opened.
#[test]
fn a_file_that_is_opened_again_keeps_its_age_and_its_failure() {
    let directory = tempfile::tempdir().unwrap();
    let [file, other] = ["file", "other"].map(|name| directory.path().join(name));
    fs::write(&file, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    let long_ago = fail(&mut guard, &file);
    fs::write(&other, [2; 100]).unwrap();
    let found = Found::at(CWD, &other).unwrap();
    let open = fs::File::open(directory.path()).unwrap();
    let place = Place { open: open.as_fd(), path: directory.path(), device: None, since: None };
    work(&mut guard, |watched, work| {
        watched.take(&place, file.file_name().unwrap(), &found, work);
    });
    let entry = entry(&guard, &file);
    assert_eq!(entry.since, Some(long_ago));
    assert_eq!(entry.state.guarded().unwrap().lost(), Some(5));
}

/// The kernel reports the failure once, and the file is opened anew when it can be, or is back.
#[test]
fn a_file_whose_pages_are_lost_stays_outside_when_it_is_opened_again() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [file, moved] = [&directory, &elsewhere].map(|place| place.path().join("file"));
    fs::write(&file, [1; 100]).unwrap();
    let test = "a_file_whose_pages_are_lost_stays_outside_when_it_is_opened_again";
    let Some(mut guard) = guard_by_pages(directory.path(), test) else { return };
    let is_outside = |guard: &mut Guard| {
        let pass = guard.pass();
        (pass.files, pass.outside) == (0, 1)
    };
    fail(&mut guard, &file);
    assert!(is_outside(&mut guard));
    // It could not be opened for a while.
    entry_mut(&mut guard, &file).state = State::Denied;
    assert!(is_outside(&mut guard));
    fs::rename(&file, &moved).unwrap();
    (0..4).for_each(|_| assert_eq!(guard.pass().files, 0));
    fs::rename(&moved, &file).unwrap();
    assert!(is_outside(&mut guard));
    fs::write(&file, []).unwrap();
    guard.pass();
    fs::write(&file, [1; 100]).unwrap();
    assert!(!is_outside(&mut guard), "nothing of the lost bytes is left");
}

/// Only a descriptor that is older than the failure reports it. The file is opened anew under its new name.
#[test]
fn a_renamed_file_whose_former_descriptor_reports_a_failure_stays_outside() {
    let directory = tempfile::tempdir().unwrap();
    let [log, old, link] = ["log", "old", "link"].map(|name| directory.path().join(name));
    fs::write(&log, [1; 100]).unwrap();
    let test = "a_renamed_file_whose_former_descriptor_reports_a_failure_stays_outside";
    let Some(mut guard) = guard_by_pages(directory.path(), test) else { return };
    fs::rename(&log, &old).unwrap();
    fs::hard_link(&old, &link).unwrap();
    guard.watched.look_again();
    look(&mut guard);
    guard.watched.leaving[0].file.take_failure(Some(5));
    work(&mut guard, |watched, work| {
        let covered = watched.write_back(work, &mut |_| ());
        assert_eq!((covered.files, covered.outside), (0, 3), "two names and the former one");
    });
    for _ in 0..2 {
        let pass = guard.pass();
        assert_eq!((pass.files, pass.outside), (0, 2));
    }
}

/// The failure was reported to the program while the file was moved away, so the new descriptor does not get it.
#[test]
fn a_file_that_is_back_stays_outside_if_its_former_descriptor_reports_a_failure() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [file, moved] = [&directory, &elsewhere].map(|place| place.path().join("file"));
    fs::write(&file, [1; 100]).unwrap();
    let test = "a_file_that_is_back_stays_outside_if_its_former_descriptor_reports_a_failure";
    let Some(mut guard) = guard_by_pages(directory.path(), test) else { return };
    fs::rename(&file, &moved).unwrap();
    assert_eq!(guard.pass().outside, 0);
    let left = guard.watched.elsewhere.values_mut().next().unwrap();
    left.file.take_failure(Some(5));
    fs::rename(&moved, &file).unwrap();
    for outside in [2, 1, 1] {
        let pass = guard.pass();
        assert_eq!((pass.files, pass.outside), (0, outside), "at first with its former descriptor");
    }
    assert!(guard.watched.elsewhere.is_empty(), "it is synced once more, and closed");
}

/// The descriptor of the newer name does not report the failure, and is synced first.
#[test]
fn a_name_that_is_synced_before_the_failing_one_stays_outside() {
    let directory = tempfile::tempdir().unwrap();
    let [log, link] = ["log", "link"].map(|name| directory.path().join(name));
    fs::write(&log, [1; 100]).unwrap();
    let test = "a_name_that_is_synced_before_the_failing_one_stays_outside";
    let Some(mut guard) = guard_by_pages(directory.path(), test) else { return };
    fs::hard_link(&log, &link).unwrap();
    guard.watched.look_again();
    look(&mut guard);
    let since = entry(&guard, &link).since;
    fail_sync(entry_mut(&mut guard, &log));
    work(&mut guard, |watched, work| {
        let covered = watched.write_back(work, &mut |_| ());
        assert_eq!((covered.files, covered.outside), (0, 2));
        assert!(covered.oldest.is_none(), "no interval has ended");
    });
    assert_eq!(entry(&guard, &link).since, since);
}

/// Passes go on without the directory. Its notices are read and cannot be followed.
#[test]
fn a_new_file_counts_from_the_last_look_at_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    let file = below.join("a/file");
    fs::create_dir_all(below.join("a")).unwrap();
    let mut guard = guard(directory.path());
    if !guard.watched.notices.are_complete() {
        let test = "a_new_file_counts_from_the_last_look_at_its_directory";
        return crate::skip::skip(test, "no notices here");
    }
    let known = guard.watched.knew_all.unwrap();
    let mut problems = Vec::new();
    guard.watched.cannot_look_at(&below, Errno::NOMEM, &mut problems);
    assert_eq!(problems.len(), 1);
    fs::write(&file, [1; 100]).unwrap();
    guard.watched.notices.heard();
    std::thread::sleep(Duration::from_millis(50));
    guard.watched.knew_all = Some(Moment::of(BootTime::now()));
    let (_, took) = guard.watched.looked.unwrap();
    guard.watched.looked = Some((BootTime::before(took * 1000), took));
    look(&mut guard);
    assert_eq!(entry(&guard, &file).since, Some(known.began));
    // The next one is found at once.
    let next = below.join("next");
    fs::write(&next, [1; 100]).unwrap();
    look(&mut guard);
    assert!(entry(&guard, &next).since.is_some_and(|since| since > known.began));
}

/// It could not be written back for a while.
#[test]
fn the_interval_of_a_file_that_leaves_the_tree_ends_with_its_last_write_back() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = directory.path().join("file");
    fs::write(&file, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    let long_ago = BootTime::before(Duration::from_secs(60));
    entry_mut(&mut guard, &file).since = Some(long_ago);
    fs::rename(&file, elsewhere.path().join("file")).unwrap();
    let unknown = long_ago.elapsed();
    let pass = guard.pass();
    assert_eq!((pass.files, pass.outside), (0, 0));
    assert!(guard.statistics().longest_interval >= unknown);
}

/// Its inode must not become that of a new file, which would be taken for it.
#[test]
fn a_file_that_was_moved_away_stays_open_until_directories_were_read_again() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = directory.path().join("file");
    fs::write(&file, [1; 100]).unwrap();
    let mut guard = guard(directory.path());
    fs::rename(&file, elsewhere.path().join("file")).unwrap();
    guard.pass();
    assert_eq!(guard.watched.elsewhere.len(), 1);
    guard.watched.look_again();
    look(&mut guard);
    assert!(guard.watched.elsewhere.is_empty());
}

/// The server of another file system may have another clock.
#[test]
fn the_creation_of_a_file_counts_on_local_file_systems_alone() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let moved = |name: &str, is_local| {
        let file = elsewhere.path().join(name);
        fs::write(&file, [1; 100]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let mut guard = guard(directory.path());
        guard.watched.roots[0].is_local = is_local;
        let path = directory.path().join(name);
        fs::rename(&file, &path).unwrap();
        work(&mut guard, |watched, work| {
            let (open, _) = watched.open(0, directory.path()).unwrap();
            let since = watched.knew_all;
            let place = Place { open: open.as_fd(), path: directory.path(), device: None, since };
            watched.look_at(&place, name.as_ref(), work);
        });
        entry(&guard, &path).since
    };
    fs::write(elsewhere.path().join("new"), [1; 100]).unwrap();
    if Found::at(CWD, &elsewhere.path().join("new")).unwrap().identity.born.is_none() {
        let test = "the_creation_of_a_file_counts_on_local_file_systems_alone";
        return crate::skip::skip(test, "no time of creation is kept");
    }
    assert!(moved("remote", false).is_some());
    // A clock that seems to have been set, since another thread ran, makes it count as new.
    assert!(["a", "b", "c", "d"].into_iter().any(|name| moved(name, true).is_none()));
}

/// Has a file that is guarded be not written back for a minute, and its sync failed. Returns the moment.
fn fail(guard: &mut Guard, path: &Path) -> BootTime {
    let long_ago = BootTime::before(Duration::from_secs(60));
    let entry = entry_mut(guard, path);
    entry.since = Some(long_ago);
    fail_sync(entry);
    let identity = entry.identity;
    guard.watched.lost.note(identity, Some(5));
    long_ago
}

fn fail_sync(entry: &mut Entry) {
    let State::Guarded(file) = &mut entry.state else { unreachable!("the pass has taken it") };
    file.take_failure(Some(5));
}

/// The look at a directory below failed before the one at this directory did. It is the earlier moment.
#[test]
fn a_new_file_counts_from_the_earliest_failed_look_above_it() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    let (inner, file) = (below.join("a"), below.join("a/file"));
    fs::create_dir_all(&inner).unwrap();
    let mut guard = guard(directory.path());
    let known = guard.watched.knew_all.unwrap();
    for path in [&inner, &below] {
        let Watched { unlooked, unlooked_before, .. } = &mut guard.watched;
        *unlooked_before = take(unlooked);
        guard.watched.cannot_look_at(path, Errno::NOMEM, &mut Vec::new());
        std::thread::sleep(Duration::from_millis(50));
        guard.watched.knew_all = Some(Moment::of(BootTime::now()));
    }
    fs::write(&file, [1; 100]).unwrap();
    guard.watched.look_again();
    look(&mut guard);
    assert_eq!(entry(&guard, &file).since, Some(known.began));
}
