//! Accesses that would end the process, under a guard and without one.
//!
//! The process has one action for SIGBUS, so these tests have a process of their own. A test that ends the process or
//! needs other handlers runs in a child, which is this program again with one test to run.

// The guard refuses to be installed on other architectures.
#![cfg(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "riscv64",
    all(target_arch = "powerpc64", target_endian = "little"),
))]
#![cfg(all(
    feature = "dax",
    target_os = "linux",
    target_has_atomic = "64",
    not(miri),
    not(cachemaint_loom)
))]
#![expect(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::fn_to_numeric_cast_any,
    reason = "signals and userfaultfd are asked for by libc; a test fails by panicking"
)]

#[path = "dax_faults/former_handlers.rs"]
mod former_handlers;
#[path = "dax_faults/limits.rs"]
mod limits;
#[path = "own_mount/mod.rs"]
mod own_mount;
#[path = "dax_faults/poison.rs"]
mod poison;
#[path = "dax_faults/runs.rs"]
mod runs;
mod skip;

use cachemaint::dax::{DaxFile, Error, ErrorKind, FaultHandler, Options, Taint};
use core::ffi::c_int;
use core::sync::atomic::Ordering::Relaxed;
use rustix::fs::{FlockOperation, fcntl_lock};
use skip::skip;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::thread;
use tempfile::TempDir;

const PAGES: u64 = 16;

fn page() -> u64 {
    rustix::param::page_size() as u64
}

fn options() -> Options {
    Options::new().allow_page_granularity()
}

/// A file of 16 pages, the word at the start of each of which is its number and 1.
fn numbered() -> (TempDir, DaxFile) {
    // In memory if there is such a place: tests of other file systems are in the lab.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let file = options().create_new(directory.path().join("file"), PAGES * page()).unwrap();
    (0..PAGES).for_each(|number| file.store(number * page(), number + 1, Relaxed));
    (directory, file)
}

fn load(file: &DaxFile, number: u64) -> u64 {
    file.load(number * page(), Relaxed)
}

fn cut(file: &DaxFile, pages: u64) {
    file.file().set_len(pages * page()).unwrap();
}

fn assert_shorter<T: core::fmt::Debug>(result: Result<T, Error>, pages: u64) {
    let error = result.unwrap_err();
    let ErrorKind::Shorter { size, needed, .. } = *error.kind() else { panic!("{error}") };
    assert_eq!((size, needed), (pages * page(), PAGES * page()));
}

#[test]
fn an_access_to_what_was_cut_off_is_an_error_and_the_process_lives() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    assert_eq!(file.catch_faults(guard, |file| load(file, 9)).unwrap(), 10);
    assert_eq!(file.view().taint(), None);
    cut(&file, 8);
    assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
    let taint = Taint::Fault { at: 9 * page(), len: page() };
    assert_eq!(file.view().taint(), Some(taint));
    // Not a page of zeros that was left behind, and not the first fault again.
    assert_shorter(file.catch_faults(guard, |file| file.store(9 * page(), 1, Relaxed)), 8);
    assert_shorter(file.catch_faults(guard, |file| file.write(12 * page() - 4, b"over two")), 8);
    assert_eq!(file.view().taint(), Some(taint), "the first one");
    // The other bytes are as they were, and stores to them still reach the file.
    assert_eq!(file.catch_faults(guard, |file| load(file, 7)).unwrap(), 8);
    file.store(7 * page(), 77, Relaxed);
    let mut bytes = [0; 8];
    file.persist(7 * page()..7 * page() + 8).unwrap();
    file.file().read_exact_at(&mut bytes, 7 * page()).unwrap();
    assert_eq!(u64::from_le_bytes(bytes), 77);
}

/// The whole file is read, and half of it is gone: all of that is to be mapped again.
#[test]
fn each_page_that_was_replaced_is_the_files_again() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 4);
    let all = |file: &DaxFile| (0..PAGES).map(|number| load(file, number)).sum::<u64>();
    assert_shorter(file.catch_faults(guard, all), 4);
    // The file grows again, with zeros, and another descriptor writes them.
    cut(&file, PAGES);
    for number in 4..PAGES {
        file.file().write_all_at(&(number + 100).to_le_bytes(), number * page()).unwrap();
    }
    let sum = (1..=4).sum::<u64>() + (104..116).sum::<u64>();
    assert_eq!(file.catch_faults(guard, all).unwrap(), sum);
}

/// Has a guard meet a hole in a file of each kind: on a disk the file system lists its extents, and in memory it does not.
/// `before` and `after` get a duplicate of the descriptor.
fn meet_holes(test: &str, before: impl Fn(&mut File), after: impl Fn(&mut File)) {
    let guard = FaultHandler::install().unwrap();
    let directories = [tempfile::tempdir_in("/dev/shm").ok(), tempfile::tempdir().ok()];
    for directory in directories.iter().flatten() {
        if !shows_holes(directory) {
            skip(test, "a file system here shows holes as data (SEEK_HOLE)");
            continue;
        }
        let path = directory.path().join("file");
        drop(options().create_new(&path, PAGES * page()).unwrap());
        let mut shared = File::options().read(true).write(true).open(&path).unwrap();
        let file = options().open_file(shared.try_clone().unwrap()).unwrap();
        before(&mut shared);
        let caught = file.catch_faults(guard, |file| {
            cut(file, 4);
            let loaded = load(file, 6);
            cut(file, PAGES);
            loaded
        });
        let error = caught.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
        after(&mut shared);
    }
}

/// Returns false for a file system that shows holes as data, as NFS before 4.2 and some of FUSE do (`lseek(2)`).
fn shows_holes(directory: &TempDir) -> bool {
    let file = tempfile::tempfile_in(directory).unwrap();
    file.set_len(page()).unwrap();
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)) == Ok(0)
}

/// A duplicate's next write goes to the position, which is that of the open file.
#[test]
fn an_error_of_a_guard_leaves_the_position_of_the_file() {
    meet_holes(
        "an_error_of_a_guard_leaves_the_position_of_the_file",
        |shared| assert_eq!(shared.seek(SeekFrom::Start(5)).unwrap(), 5),
        |shared| assert_eq!(shared.stream_position().unwrap(), 5),
    );
}

/// A process loses its locks of a file with the first descriptor of it that is closed (`fcntl_locking(2)`).
#[test]
fn an_error_of_a_guard_leaves_the_locks_of_the_process() {
    let lock = |shared: &mut File| {
        fcntl_lock(shared, FlockOperation::NonBlockingLockExclusive).unwrap();
    };
    meet_holes("an_error_of_a_guard_leaves_the_locks_of_the_process", lock, |shared| {
        // A lock of the open file disagrees with one of the process, of this one too.
        // SAFETY: all of it are numbers, for which zeros are valid.
        let mut asked: libc::flock = unsafe { core::mem::zeroed() };
        let exclusive = i16::try_from(libc::F_WRLCK).unwrap();
        asked.l_type = exclusive;
        // SAFETY: the kernel writes to the place.
        let answer = unsafe { libc::fcntl(shared.as_raw_fd(), libc::F_OFD_GETLK, &raw mut asked) };
        assert_eq!((answer, asked.l_type), (0, exclusive), "it is held");
    });
}

#[test]
fn the_innermost_guard_is_the_one_that_fails() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    let outer = file.catch_faults(guard, |file| {
        assert_shorter(file.catch_faults(guard, |file| load(file, 8)), 8);
        load(file, 3)
    });
    assert_eq!(outer.unwrap(), 4);
    let outer = file.catch_faults(guard, |file| {
        let inner = file.catch_faults(guard, |file| load(file, 3)).unwrap();
        load(file, 8);
        assert_shorter(file.catch_faults(guard, |file| load(file, 8)), 8);
        inner
    });
    assert_shorter(outer, 8);
}

#[test]
fn guards_of_two_files_are_kept_apart() {
    let guard = FaultHandler::install().unwrap();
    let ((_one, cut_file), (_other, whole)) = (numbered(), numbered());
    cut(&cut_file, 8);
    let outer = cut_file.catch_faults(guard, |cut_file| {
        let inner = whole.catch_faults(guard, |whole| load(cut_file, 9) + load(whole, 9));
        assert_eq!(inner.unwrap(), 10, "zeros of the one, and the word of the other");
    });
    assert_shorter(outer, 8);
    assert_eq!(whole.view().taint(), None);
}

#[test]
fn a_panic_gives_page_and_slot_back() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    // More often than there are slots.
    for _ in 0..300 {
        let work = || {
            let _ended = file.catch_faults(guard, |file| {
                load(file, 9);
                panic!("as planned");
            });
        };
        let work = std::panic::AssertUnwindSafe(work);
        let payload = std::panic::catch_unwind(work).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"as planned"));
    }
    std::panic::set_hook(silent);
    assert_eq!(file.view().taint(), Some(Taint::Fault { at: 9 * page(), len: page() }));
    assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
}

/// Each thread has a file of its own that was cut and reads one that was not, of which another thread
/// replaces and restores pages all the time.
#[test]
fn many_threads_are_guarded_at_once() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, shared) = numbered();
    thread::scope(|scope| {
        for thread in 0..8 {
            let shared = &shared;
            scope.spawn(move || {
                let (_directory, own) = numbered();
                let left = 1 + thread % 8;
                cut(&own, left);
                for round in 0..200 {
                    let number = round % PAGES;
                    let result =
                        own.catch_faults(guard, |own| load(own, number) + load(shared, number));
                    if number < left {
                        assert_eq!(result.unwrap(), 2 * (number + 1));
                    } else {
                        assert_shorter(result, left);
                    }
                }
            });
        }
    });
    assert_eq!(shared.view().taint(), None);
}

/// Zeros that one thread's guard has put there are seen by the others: none of them may take them for the
/// file's, whether it meets them itself or not.
#[test]
fn threads_that_share_a_cut_file_never_get_zeros_for_a_result() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    thread::scope(|scope| {
        for thread in 0..8 {
            let file = &file;
            scope.spawn(move || {
                for round in 0..1000 {
                    let number = (round + 3 * thread) % PAGES;
                    match file.catch_faults(guard, |file| load(file, number)) {
                        Ok(word) => assert_eq!(word, number + 1, "page {number}"),
                        failed => assert_shorter(failed, 8),
                    }
                }
            });
        }
    });
    for number in 0..8 {
        assert_eq!(file.catch_faults(guard, |file| load(file, number)).unwrap(), number + 1);
    }
}

fn place_of_errno() -> *mut c_int {
    // SAFETY: the call only gives an address.
    unsafe { libc::__errno_location() }
}

/// A caller looks at `errno` after its own calls, and has no part in the handler's.
#[test]
fn errno_is_as_it_was() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    let after = core::cell::Cell::new(0);
    let result = file.catch_faults(guard, |file| {
        // SAFETY: the place is this thread's own.
        unsafe { place_of_errno().write(123) };
        load(file, 9);
        // SAFETY: as above.
        after.set(unsafe { place_of_errno().read() });
    });
    assert_shorter(result, 8);
    assert_eq!(after.get(), 123);
}

#[test]
fn installing_twice_is_installing_once() {
    // A handler that took itself for the former one would call itself for ever.
    let died = in_child("installing_twice_is_installing_once", || {
        let (_directory, file) = numbered();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| FaultHandler::install().unwrap());
            }
        });
        FaultHandler::install().unwrap();
        cut(&file, 8);
        load(&file, 9);
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

const CHILD: &str = "CACHEMAINT_TEST_CHILD";

/// Runs `work` in a process of its own, which is this program with this test alone. In that process it
/// does not return. `None` if that cannot be done here.
fn in_child(test: &str, work: impl FnOnce()) -> Option<Output> {
    if std::env::var_os(CHILD).is_some() {
        work();
        std::process::exit(0);
    }
    if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
        skip(test, "user-mode emulation does not start this program from within itself");
        return None;
    }
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output();
    Some(ended.unwrap())
}

fn said(output: &Output) -> String {
    format!(
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn assert_succeeded(ended: Option<&Output>) {
    let Some(output) = ended else { return };
    assert!(output.status.success(), "{}", said(output));
}

#[track_caller]
fn assert_died_by(ended: Option<&Output>, signal: c_int) {
    let Some(output) = ended else { return };
    assert_eq!(output.status.signal(), Some(signal), "{}", said(output));
}

#[track_caller]
fn assert_exited(ended: Option<&Output>, code: c_int) {
    let Some(output) = ended else { return };
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
}

/// The control: this is what the guard is for.
#[test]
fn without_a_guard_the_process_dies() {
    let died = in_child("without_a_guard_the_process_dies", || {
        let (_directory, file) = numbered();
        cut(&file, 8);
        load(&file, 9);
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// The standard library detects an overflow of the stack by handlers of its own, and still does.
#[test]
fn a_stack_overflow_is_reported_as_before() {
    #[expect(unconditional_recursion, reason = "this is the test")]
    fn deeper(depth: &[u8; 1024]) -> u8 {
        let mut next = *depth;
        next[0] = next[0].wrapping_add(1);
        deeper(core::hint::black_box(&next)).wrapping_add(next[1])
    }
    let died = in_child("a_stack_overflow_is_reported_as_before", || {
        FaultHandler::install().unwrap();
        std::io::stdout().write_all(&[deeper(&[0; 1024])]).unwrap();
    });
    if let Some(died) = &died {
        assert!(said(died).contains("has overflowed its stack"), "{}", said(died));
    }
    assert_died_by(died.as_ref(), libc::SIGABRT);
}
