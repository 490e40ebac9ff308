//! One process writes a file: the effects on its children and on other processes.
//!
//! These tests have a process of their own and run one after the other. A forked child keeps every descriptor
//! that is open when it is forked. So a test beside it could wait without end for a pipe to be closed.

#![cfg(all(
    feature = "dax",
    target_os = "linux",
    target_has_atomic = "64",
    not(miri),
    not(cachemaint_loom)
))]
#![expect(unsafe_code, reason = "a child is forked, and a page is unmapped under a file")]

#[path = "dax_processes/forked.rs"]
mod forked;

use cachemaint::cache::Destination;
use cachemaint::dax::{ErrorKind, Options};
use cachemaint::medium::Granularity;
use cachemaint_test_support::failing_calls::fail_calls;
use cachemaint_test_support::skip::skip;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::new(());

/// Returns true if this runs on an emulated CPU, as far as the environment says.
fn is_emulated() -> bool {
    std::env::var_os("CACHEMAINT_EXPECT").is_some()
}

/// A page that is not mapped any more stands for one that cannot be written: `msync` fails with ENOMEM
/// (POSIX). It is asked at all, and its failure is an error, with the range.
#[test]
fn a_failed_msync_is_an_error() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if is_emulated() && cfg!(target_pointer_width = "32") {
        skip(
            "a_failed_msync_is_an_error",
            "user-mode emulation of a 32-bit CPU has msync succeed on anything",
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = Options::new().allow_page_granularity().create_new(&path, 256 << 10).unwrap();
    let Granularity::Page(page) = file.granularity() else {
        skip("a_failed_msync_is_an_error", "this file is persisted by cache lines");
        return;
    };
    let at = 2 * page as u64;
    // SAFETY: the page is in the mapping, and nothing accesses it from here on.
    assert_eq!(unsafe { libc::munmap(file.as_ptr(at).cast(), page) }, 0);

    file.persist(0..at).unwrap();
    let error = file.persist(at + 8..at + 16).unwrap_err();
    let ErrorKind::Writeback { at: from, len, errno, .. } = *error.kind() else {
        panic!("{error}")
    };
    assert_eq!((from, len, errno), (at + 8, 8, libc::ENOMEM));
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));

    // The kernel reports an error once, and it can be about any page. So no later success is believed.
    let later = [
        file.check(),
        file.read(0, &mut [0; 8]),
        file.persist(0..at),
        file.persist(at..at),
        file.deep_persist(0..at),
        // The empty part is first: each part counts.
        file.persist_copy(&[(0, b""), (8, b"x")]),
        file.persist_fill(0..8, 1, Destination::Unknown),
        file.persist_copy_within(0..8, 16, Destination::Unknown),
        file.fence(),
    ];
    for failed in later {
        assert_eq!(failed.unwrap_err(), error, "the first one");
    }
    drop(file);
    Options::new().allow_page_granularity().open(&path).unwrap().check().unwrap();
}

/// The kernel reports the failure of a write-back once to an open file, whichever call asks: here it is that of a change of
/// the length.
#[test]
fn a_failure_that_a_change_of_the_length_meets_is_not_lost() {
    let name = "a_failure_that_a_change_of_the_length_meets_is_not_lost";
    if is_emulated() {
        skip(name, "user-mode emulation filters no system calls");
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().allow_page_granularity();
    let cases = [(libc::EIO, 256 << 10), (libc::EIO, 64 << 10), (libc::ENOSPC, 256 << 10)];
    for (number, (errno, len)) in cases.into_iter().enumerate() {
        let path = directory.path().join(number.to_string());
        let mut file = options.create_new(&path, 128 << 10).unwrap();
        let changed = std::thread::scope(|scope| {
            let change = || {
                let is_limited = fail_calls(libc::SYS_fsync, None, errno);
                let changed = if len > file.len() { file.grow(len) } else { file.shrink(len) };
                is_limited.then_some(changed)
            };
            scope.spawn(change).join().unwrap()
        });
        let Some(changed) = changed else {
            skip(name, "no filter of system calls is to be had");
            return;
        };
        let error = changed.unwrap_err();
        assert!(
            matches!(*error.kind(), ErrorKind::Writeback { errno: with, .. } if with == errno),
            "{error}"
        );
        assert_eq!(file.persist(0..8), Err(error));
    }
}

const CHILD: &str = "CACHEMAINT_TEST_HOLDS";

/// The holder of the lock is this program again, with this test alone.
#[test]
fn a_lock_ends_with_a_holder_that_was_killed() {
    if let Some(path) = std::env::var_os(CHILD) {
        let _held = Options::new().allow_page_granularity().open(path).unwrap();
        println!("held");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        std::process::exit(0);
    }
    if is_emulated() {
        skip(
            "a_lock_ends_with_a_holder_that_was_killed",
            "user-mode emulation does not run this program from within itself",
        );
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity();
    drop(options.create_new(&path, 64 << 10).unwrap());
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_lock_ends_with_a_holder_that_was_killed", "--nocapture"])
        .env(CHILD, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("held")), "it ended before it held the file");
    assert_locked(&options, &path);
    holder.kill().unwrap();
    let ended = holder.wait().unwrap();
    assert_eq!(ended.signal(), Some(libc::SIGKILL));
    options.open(&path).unwrap();
}

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn assert_locked(options: &Options, path: &Path) {
    let error = options.open(path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
}
