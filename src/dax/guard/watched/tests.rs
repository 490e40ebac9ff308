//! Names and files that are as a pass has left them, though a reset would not leave them so.

#![expect(clippy::unwrap_used, reason = "a directory that cannot be guarded is a finding")]

use super::super::Guard;
use super::super::notices::IfGone;
use super::super::pace::BootTime;
use super::former::Moment;
use super::found::{Found, Identity, Place};
use super::known::{Entry, State};
use super::{Notices, Watched, Work};
use crate::cache::Cache;
use crate::dax::system::syncfs_reports_errors;
use crate::dax::{Error, ErrorKind, FaultHandler, NotSupported, Options};
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::Path;
use std::time::Instant;

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

/// The blocks of the file can be the former ones, and a reset leaves the empty file if the journal was committed
/// between both. The single file is watched by itself.
#[test]
fn a_file_that_was_cut_and_has_grown_to_its_former_size_is_to_be_synced() {
    let test = "a_file_that_was_cut_and_has_grown_to_its_former_size_is_to_be_synced";
    let Ok(cache) = Cache::host() else { return crate::skip::skip(test, "no cache") };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, [1; 100]).unwrap();
    for root in [directory.path(), &path] {
        let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
        guard.add(root).unwrap();
        guard.watched.roots[0].has_lines = true;
        guard.pass();
        guard.watched.take_lines(cache);
        if let Some(problem) = guard.pass().problems.pop() {
            return crate::skip::skip(test, problem);
        }
        let is_durable = |guard: &mut Guard| {
            let heard = guard.watched.notices.heard();
            guard.watched.doubt(&heard);
            guard.watched.files().next().unwrap().is_durable()
        };
        if !guard.watched.notices.are_complete() {
            return crate::skip::skip(test, "no notices here");
        }
        assert!(is_durable(&mut guard), "the pass has synced it");
        // The write cuts the file to nothing first.
        fs::write(&path, [2; 100]).unwrap();
        assert!(!is_durable(&mut guard));
        guard.pass();
        assert!(is_durable(&mut guard));
    }
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

/// `syncfs` reports the failures since its descriptor was opened: a file that comes later has not seen those before.
#[test]
fn a_file_system_is_synced_by_a_descriptor_that_is_older_than_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str| fs::write(directory.path().join(name), [1; 100]).unwrap();
    write("m");
    let mut guard = guard(directory.path());
    let numbers = |guard: &Guard| -> Vec<RawFd> {
        guard.watched.file_systems.directories().values().map(AsRawFd::as_raw_fd).collect()
    };
    let first = numbers(&guard);
    if guard.watched.files().any(|file| file.cache().is_some()) {
        let test = "a_file_system_is_synced_by_a_descriptor_that_is_older_than_its_files";
        return crate::skip::skip(test, "files here are written back by lines");
    }
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

/// The entry of a name in the directory that is guarded.
fn entry<'g>(guard: &'g Guard, path: &Path) -> &'g Entry {
    let directory = &guard.watched.directories[path.parent().unwrap()];
    &directory.files[path.file_name().unwrap()]
}

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
    let mut guard = guard(directory.path());
    if guard.watched.files().any(|file| file.cache().is_some()) {
        let test = "a_file_whose_pages_are_lost_stays_outside_when_it_is_opened_again";
        return crate::skip::skip(test, "files here are written back by lines");
    }
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
        guard.watched.look_again();
        look(&mut guard);
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
        watched.add_local(above, false);
        if is_added {
            watched.add_local(below, false);
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

/// Has a file that is guarded be not written back for a minute, and its sync failed. Returns the moment.
fn fail(guard: &mut Guard, path: &Path) -> BootTime {
    let long_ago = BootTime::before(Duration::from_secs(60));
    let entry = entry_mut(guard, path);
    entry.since = Some(long_ago);
    let State::Guarded(file) = &mut entry.state else { unreachable!("the pass has taken it") };
    file.take_failure(Some(5));
    let identity = entry.identity;
    guard.watched.lost.note(identity, Some(5));
    long_ago
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
