//! Bytes that others have stored in files are written back, whatever becomes of the files.

#![cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    all(target_arch = "powerpc64", target_endian = "little"),
))]
#![expect(clippy::unwrap_used, reason = "a file that cannot be made is a finding")]

mod gone;
mod unreachable;

use crate::own_mount::{with_mount, with_small_tmpfs};
use cachemaint::Cache;
use cachemaint::dax::guard::Guard;
use cachemaint::dax::{ErrorKind, FaultHandler, probe};
use cachemaint::medium::Granularity;
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use rustix::fs::{CWD, RenameFlags, inotify, renameat_with};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

fn guard() -> Guard {
    Guard::new(FaultHandler::install().unwrap()).allow_page_granularity()
}

fn check(guard: &mut Guard, files: u64, bytes: u64) {
    let pass = guard.pass();
    assert!(pass.problems.is_empty(), "{:?}", pass.problems);
    assert_eq!((pass.files, pass.bytes), (files, bytes));
}

fn make(path: &Path, len: usize) -> File {
    fs::write(path, vec![1; len]).unwrap();
    File::options().write(true).open(path).unwrap()
}

/// Other programs store to the files under their other name, and no file can be created under this one.
#[test]
fn files_of_a_directory_in_which_no_file_can_be_created_are_guarded() {
    let name = "files_of_a_directory_in_which_no_file_can_be_created_are_guarded";
    with_small_tmpfs(name, |top| {
        let [written, seen] = ["written", "seen"].map(|part| top.join(part));
        fs::create_dir(&written).unwrap();
        fs::create_dir(&seen).unwrap();
        rustix::mount::mount_bind(&written, &seen).unwrap();
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_remount(&seen, flags, c"").unwrap();
        assert!(matches!(probe(&seen).unwrap_err().kind(), ErrorKind::ReadOnlyFileSystem));

        make(&written.join("first"), 10_000);
        let mut guard = guard();
        guard.add(&seen).unwrap();
        check(&mut guard, 1, 10_000);
        make(&written.join("second"), 5000);
        check(&mut guard, 2, 15_000);

        // No file of a tmpfs is persisted by lines.
        let mut by_lines = Guard::new(FaultHandler::install().unwrap());
        let refused = by_lines.add(&seen).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::ReadOnlyFileSystem), "{refused}");
    });
}

/// A tracer that fills its file system must not keep the guard from starting.
#[test]
fn files_of_a_full_file_system_are_guarded() {
    let name = "files_of_a_full_file_system_are_guarded";
    with_mount(name, "tmpfs", c"nr_inodes=2", |top| {
        make(&top.join("only"), 10_000);
        let refused = probe(top).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Os { errno: 28, .. }), "{refused:?}");
        let mut guard = guard();
        guard.add(top).unwrap();
        check(&mut guard, 1, 10_000);
    });
}

#[test]
fn files_are_taken_when_they_come_and_let_go_when_they_go() {
    let directory = tempfile::tempdir().unwrap();
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    check(&mut guard, 0, 0);

    let below = directory.path().join("a").join("b");
    fs::create_dir_all(&below).unwrap();
    let first = make(&below.join("first"), 10_000);
    check(&mut guard, 1, 10_000);
    let second = make(&directory.path().join("second"), 5000);
    check(&mut guard, 2, 15_000);
    let paths: BTreeSet<_> = guard.files().map(Path::to_path_buf).collect();
    assert_eq!(paths, [directory.path().join("second"), below.join("first")].into());

    // Grown, cut, cut to nothing, replaced, and gone.
    let mut grown = File::options().append(true).open(below.join("first")).unwrap();
    grown.write_all(&vec![2; 90_000]).unwrap();
    check(&mut guard, 2, 105_000);
    first.set_len(4096).unwrap();
    check(&mut guard, 2, 9096);
    second.set_len(0).unwrap();
    check(&mut guard, 1, 4096);
    make(&directory.path().join("new"), 30_000);
    fs::rename(directory.path().join("new"), below.join("first")).unwrap();
    check(&mut guard, 1, 30_000);
    fs::remove_dir_all(directory.path().join("a")).unwrap();
    check(&mut guard, 0, 0);
}

#[test]
fn only_regular_files_are_taken_and_links_are_not_followed() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(&elsewhere.path().join("file"), 4096);
    let link = |name: &str, to: &Path| {
        std::os::unix::fs::symlink(to, directory.path().join(name)).unwrap();
    };
    link("file", &elsewhere.path().join("file"));
    link("directory", elsewhere.path());
    link("loop", directory.path());
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    make(&directory.path().join("regular"), 100);
    make(&directory.path().join("empty"), 0);
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    let pass = guard.pass();
    assert_eq!((pass.files, pass.bytes), (1, 100), "{:?}", pass.problems);
    assert!(pass.problems.is_empty(), "{:?}", pass.problems);
}

/// A user would otherwise believe that the named path is guarded.
#[test]
fn links_and_special_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    make(&file, 4096);
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let refused = guard().add(&link).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::SymbolicLink), "{refused}");
    let socket = directory.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let refused = guard().add(&socket).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::NotRegular), "{refused}");
}

#[test]
fn single_files_are_taken_and_each_line_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("buffer");
    make(&path, (1 << 20) + 1);
    make(&directory.path().join("beside"), 100);
    let mut guard = guard();
    guard.add(&path).unwrap();
    let pass = guard.pass();
    assert_eq!((pass.files, pass.bytes), (1, (1 << 20) + 1));
    let lines = match probe(&path).unwrap().granularity {
        Granularity::Page(_) => 0,
        _ => (1 << 20) / Cache::host().unwrap().line_size() as u64 + 1,
    };
    assert_eq!(pass.lines, lines);
    guard.pass();
    let statistics = guard.statistics();
    assert_eq!((statistics.passes, statistics.files, statistics.problems), (2, 1, 0));
    assert_eq!((statistics.lines, statistics.bytes), (2 * lines, 2 * ((1 << 20) + 1)));
    assert!(statistics.longest_interval >= pass.took, "it is longer than the first of both");
}

/// On DAX a view of such a file would be refused. Holes cost nothing, by lines or by pages.
#[test]
fn a_file_with_holes_is_taken_and_so_is_what_fills_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = File::create(directory.path().join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    let mut check = |stored: u64| {
        let pass = guard.pass();
        assert!(pass.problems.is_empty(), "{:?}", pass.problems);
        assert_eq!(pass.files, 1);
        // A hole can be filled by 2 MiB at once.
        assert!((stored..=stored * 512).contains(&pass.bytes), "{} of {stored}", pass.bytes);
    };
    check(0);
    file.write_all_at(&[1; 4096], 10 << 20).unwrap();
    check(4096);
    file.write_all_at(&[1; 4096], 50 << 20).unwrap();
    check(8192);
}

/// The pace allows 4 GiB a second: were the hole charged, a pass would take 256 seconds.
#[test]
fn a_hole_of_a_tebibyte_delays_no_other_file() {
    let directory = tempfile::tempdir().unwrap();
    File::create(directory.path().join("hole")).unwrap().set_len(1 << 40).unwrap();
    make(&directory.path().join("other"), 4096);
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    let (began, stop, mut passes) = (Instant::now(), AtomicBool::new(false), 0);
    guard.run(Duration::from_millis(10), &stop, |pass| {
        assert!(pass.problems.is_empty(), "{:?}", pass.problems);
        assert_eq!((pass.files, pass.bytes), (2, 4096));
        passes += 1;
        stop.store(passes == 5, Relaxed);
    });
    assert!(began.elapsed() < Duration::from_secs(256), "{:?}", began.elapsed());
}

/// Directories with some hundred files are read every now and then. A new name is known at once.
#[test]
fn a_new_file_and_a_grown_one_are_in_the_next_pass() {
    // A place where passes are fast: slow ones leave more time between two.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let name = "a_new_file_and_a_grown_one_are_in_the_next_pass";
    let file_system = probe(directory.path()).unwrap().file_system.clone();
    if !["ext4", "xfs", "btrfs", "tmpfs"].contains(&&*file_system) {
        return crate::skip::skip(name, format_args!("no notices are relied on on {file_system}"));
    }
    let below = directory.path().join("below");
    fs::create_dir(&below).unwrap();
    for number in 0..300 {
        make(&below.join(number.to_string()), 100);
    }
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    let (stop, mut passes) = (AtomicBool::new(false), 0);
    let late = below.join("late");
    let deep = below.join("deep").join("deeper");
    guard.run(Duration::from_millis(1), &stop, |pass| {
        assert!(pass.problems.is_empty(), "{:?}", pass.problems);
        let there = (pass.files, pass.bytes);
        match passes {
            0 => drop(make(&late, 200)),
            1 => {
                assert_eq!(there, (301, 30_200), "a new file");
                File::options().append(true).open(&late).unwrap().write_all(&[1; 300]).unwrap();
            }
            2 => {
                assert_eq!(there, (301, 30_500), "a grown file");
                fs::rename(&late, below.join("renamed")).unwrap();
                fs::remove_file(below.join("0")).unwrap();
            }
            3 => {
                assert_eq!(there, (300, 30_400), "a renamed file and a removed one");
                fs::create_dir_all(&deep).unwrap();
                make(&deep.join("file"), 50);
            }
            _ => {
                assert_eq!(there, (301, 30_450), "a file in a new directory");
                stop.store(true, Relaxed);
            }
        }
        passes += 1;
    });
    assert_eq!(guard.statistics().outside, 0);
}

/// Another user's program exchanges a directory of the tree, and a file, for links that lead out of it.
#[test]
fn nothing_outside_of_the_tree_is_opened_while_links_are_exchanged() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outside = elsewhere.path().join("file");
    make(&outside, 4096);
    let path = |name: &str| directory.path().join(name);
    for below in ["below", "below/deeper"] {
        fs::create_dir(path(below)).unwrap();
    }
    for name in ["below/file", "below/deeper/file", "file"] {
        make(&path(name), 4096);
    }
    fs::create_dir(elsewhere.path().join("deeper")).unwrap();
    make(&elsewhere.path().join("deeper/file"), 4096);
    std::os::unix::fs::symlink(elsewhere.path(), path("link")).unwrap();
    std::os::unix::fs::symlink(&outside, path("link to file")).unwrap();

    let opened = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    for watched in [elsewhere.path(), &elsewhere.path().join("deeper")] {
        inotify::add_watch(&opened, watched, inotify::WatchFlags::OPEN).unwrap();
    }
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    let is_over = AtomicBool::new(false);
    let exchange = |one: &str, other: &str| {
        let flags = RenameFlags::EXCHANGE;
        renameat_with(CWD, path(one), CWD, path(other), flags)
    };
    if let Err(errno) = exchange("below", "link") {
        let name = "nothing_outside_of_the_tree_is_opened_while_links_are_exchanged";
        return crate::skip::skip(name, format_args!("no names can be exchanged: {errno}"));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                exchange("below", "link").unwrap();
                exchange("file", "link to file").unwrap();
            }
            is_over.store(true, Relaxed);
        });
        while !is_over.load(Relaxed) {
            let pass = guard.pass();
            assert!(pass.files <= 6, "{pass:?}");
            assert!(pass.problems.is_empty(), "{:?}", pass.problems);
        }
    });
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let event = inotify::Reader::new(&opened, &mut buffer).next().map(|_| ());
    assert_eq!(event, Err(Errno::AGAIN), "something outside of the tree was opened");
    exchange("below", "link").unwrap();
    check(&mut guard, 3, 3 * 4096);
}

/// Files that grow, are cut, go, come back and are sparse, all at once.
#[test]
fn a_guard_keeps_going_whatever_its_files_do() {
    const FILES: u32 = 200;
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outside = elsewhere.path().join("file");
    make(&outside, 4096);
    let path = |number: u32| directory.path().join(number.to_string());
    for number in 0..FILES {
        make(&path(number), 4096);
    }
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 0..20 * FILES {
                let path = path(step % FILES);
                let file = || File::options().append(true).open(&path).unwrap();
                match step / FILES % 5 {
                    0 => file().write_all(&[1; 10_000]).unwrap(),
                    1 => file().set_len(100).unwrap(),
                    2 => file().set_len(1 << 36).unwrap(),
                    3 => {
                        fs::remove_file(&path).unwrap();
                        std::os::unix::fs::symlink(&outside, &path).unwrap();
                    }
                    _ => {
                        fs::remove_file(&path).unwrap();
                        make(&path, 4096);
                    }
                }
            }
            stop.store(true, Relaxed);
        });
        guard.run(Duration::from_millis(10), &stop, |pass| {
            assert!(pass.problems.is_empty(), "{:?}", pass.problems);
            assert_eq!(pass.outside, 0);
        });
    });
    check(&mut guard, FILES.into(), u64::from(FILES) * 4096);
    // Were the holes charged, 200 files of 64 GiB would take 3,200 seconds. A slow disk can take minutes to sync.
    assert!(guard.statistics().longest_interval < Duration::from_secs(1600));
}

#[test]
fn files_without_line_granularity_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    if !matches!(probe(directory.path()).unwrap().granularity, Granularity::Page(_)) {
        return crate::skip::skip(
            "files_without_line_granularity_are_refused",
            "files are on DAX here",
        );
    }
    let file = directory.path().join("file");
    make(&file, 4096);
    for path in [directory.path(), &file] {
        let mut guard = Guard::new(FaultHandler::install().unwrap());
        let error = guard.add(path).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::PageGranular(_)), "{error}");
        assert_eq!(guard.pass().files, 0);
    }
    let error = guard().add(directory.path().join("missing")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Missing), "{error}");
}

#[test]
fn it_runs_until_it_is_stopped_and_makes_a_last_pass() {
    let directory = tempfile::tempdir().unwrap();
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    let (stop, mut passes) = (AtomicBool::new(false), 0);
    let names = |guard: &Guard| guard.files().map(Path::to_path_buf).collect::<Vec<_>>();
    guard.run(Duration::from_millis(1), &stop, |pass| {
        passes += 1;
        match (passes, pass.files) {
            (1, _) => drop(make(&directory.path().join("buffer"), 4096)),
            // The pass finds the new file without being asked for it.
            (_, 1) => {
                make(&directory.path().join("late"), 4096);
                stop.store(true, Relaxed);
            }
            _ => {}
        }
    });
    assert_eq!(guard.statistics().passes, passes);
    let both = ["buffer", "late"].map(|name| directory.path().join(name));
    assert_eq!(names(&guard), both, "the last pass takes what is there");
    // The guard is to stop, so that is one pass.
    guard.run(Duration::from_secs(3600), &stop, |_| ());
    assert_eq!(guard.statistics().passes, passes + 1);
}
