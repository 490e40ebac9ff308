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
#![cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(miri), not(loom)))]
#![expect(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::fn_to_numeric_cast_any,
    reason = "signals and userfaultfd are asked for by libc; a test fails by panicking"
)]

mod skip;

use cachemaint::dax::{DaxFile, Error, ErrorKind, FaultHandler, Options, Taint};
use core::ffi::{c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use libc::siginfo_t;
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
fn meet_holes(before: impl Fn(&mut File), after: impl Fn(&mut File)) {
    let guard = FaultHandler::install().unwrap();
    let directories = [tempfile::tempdir_in("/dev/shm").ok(), tempfile::tempdir().ok()];
    for directory in directories.iter().flatten() {
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

/// A duplicate's next write goes to the position, which is that of the open file.
#[test]
fn an_error_of_a_guard_leaves_the_position_of_the_file() {
    meet_holes(
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
    meet_holes(lock, |shared| {
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

/// `userfaultfd(2)`, by which a process can poison its own pages (`include/uapi/linux/userfaultfd.h`).
mod userfaultfd {
    use rustix::io::Errno;
    use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
    use rustix::mm::UserfaultfdFlags;
    use std::os::fd::{AsFd, OwnedFd};

    const USER_MODE_ONLY: u32 = 1;
    const VERSION: u64 = 0xaa;
    /// Missing pages of shared memory, and poison.
    const FEATURES: u64 = (1 << 5) | (1 << 14);
    const MISSING: u64 = 1;

    #[repr(C)]
    struct Api {
        version: u64,
        features: u64,
        ioctls: u64,
    }

    /// The arguments of registering and of poisoning are alike: a range, a mode, an answer.
    #[repr(C)]
    struct Range {
        start: u64,
        len: u64,
        mode: u64,
        answer: u64,
    }

    const API: Opcode = opcode::read_write::<Api>(0xaa, 0x3f);
    const REGISTER: Opcode = opcode::read_write::<Range>(0xaa, 0);
    const POISON: Opcode = opcode::read_write::<Range>(0xaa, 8);

    fn ask<const REQUEST: Opcode, T>(file: impl AsFd, what: &mut T) -> Result<(), Errno> {
        // SAFETY: the structure is the one that the request reads and writes.
        let request = unsafe { Updater::<REQUEST, T>::new(what) };
        // SAFETY: it is about a page of a mapping that the caller has, whose bytes are the file's.
        unsafe { ioctl(file, request) }
    }

    /// Poisons a page of this process that has no entry in the page table (Linux 6.6 and newer), until the
    /// mapping is replaced; why not, if that is refused.
    pub(super) fn poison(page: *mut u8, len: u64) -> Result<OwnedFd, String> {
        let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::from_bits_retain(USER_MODE_ONLY);
        // SAFETY: it opens a descriptor; what is asked of it is about a page that the caller has.
        let file = unsafe { rustix::mm::userfaultfd(flags) }
            .map_err(|errno| format!("userfaultfd: {errno}"))?;
        let of_page = |mode| Range { start: page.addr() as u64, len, mode, answer: 0 };
        let mut api = Api { version: VERSION, features: FEATURES, ioctls: 0 };
        ask::<API, _>(&file, &mut api).map_err(|errno| format!("UFFDIO_API: {errno}"))?;
        ask::<REGISTER, _>(&file, &mut of_page(MISSING))
            .map_err(|errno| format!("UFFDIO_REGISTER: {errno}"))?;
        ask::<POISON, _>(&file, &mut of_page(0))
            .map_err(|errno| format!("UFFDIO_POISON: {errno}"))?;
        Ok(file)
    }
}

#[test]
fn a_poisoned_page_is_an_error_with_its_place() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    let address = file.as_ptr(5 * page());
    let len = rustix::param::page_size();
    // SAFETY: the bytes are the file's, and are there again at the next access.
    assert_eq!(unsafe { libc::madvise(address.cast(), len, libc::MADV_DONTNEED) }, 0);
    let _poisoned = match userfaultfd::poison(address, page()) {
        Ok(descriptor) => descriptor,
        Err(why) => {
            skip("a_poisoned_page_is_an_error_with_its_place", why);
            return;
        }
    };
    let error = file.catch_faults(guard, |file| file.load(5 * page() + 64, Relaxed)).unwrap_err();
    let ErrorKind::Poisoned { at, len, .. } = *error.kind() else { panic!("{error}") };
    assert_eq!((at, len), (5 * page(), page()));
    let text = error.to_string();
    assert!(text.contains(&format!("{} bytes at offset {}", page(), 5 * page())), "{text}");
    // This poison was the mapping's, which is a new one there now: the file's bytes are seen again.
    assert_eq!(file.catch_faults(guard, |file| load(file, 5)).unwrap(), 6);
    assert_eq!((load(&file, 4), load(&file, 6)), (5, 7));
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

#[test]
fn more_guards_than_there_is_room_for_are_refused() {
    fn nested(file: &DaxFile, guard: FaultHandler, left: usize) -> Result<(), Error> {
        if left == 0 {
            return Ok(());
        }
        file.catch_faults(guard, |file| nested(file, guard, left - 1))?
    }
    let in_child = in_child("more_guards_than_there_is_room_for_are_refused", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        nested(&file, guard, 256).unwrap();
        let error = nested(&file, guard, 257).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooManyCatches { most: 256, .. }), "{error}");
        nested(&file, guard, 256).unwrap();
    });
    assert_succeeded(in_child.as_ref());
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

#[test]
fn an_access_outside_of_a_guarded_call_goes_to_the_former_handler() {
    let died = in_child("an_access_outside_of_a_guarded_call_goes_to_the_former_handler", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        cut(&file, 8);
        assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
        load(&file, 9);
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn another_threads_access_is_not_guarded() {
    let died = in_child("another_threads_access_is_not_guarded", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        cut(&file, 8);
        let guarded = file.catch_faults(guard, |file| {
            thread::scope(|scope| scope.spawn(|| load(file, 9)).join().unwrap())
        });
        drop(guarded);
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn another_files_access_is_not_guarded() {
    let died = in_child("another_files_access_is_not_guarded", || {
        let guard = FaultHandler::install().unwrap();
        let ((_one, guarded), (_other, cut_file)) = (numbered(), numbered());
        cut(&cut_file, 8);
        drop(guarded.catch_faults(guard, |_| load(&cut_file, 9)));
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// Sets what SIGBUS does, as a program may have before it installs the guard.
fn set_handler(handler: usize, flags: c_int) {
    // SAFETY: zeros are a valid one.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    let before = core::ptr::null_mut();
    // SAFETY: the structure is whole, and the handler is one of its kind.
    assert_eq!(unsafe { libc::sigaction(libc::SIGBUS, &raw const action, before) }, 0);
}

/// The address at which a child expects its fault.
static EXPECTED: AtomicUsize = AtomicUsize::new(0);

/// Ends the child by the code 42 if it gets the kernel's description of the fault.
extern "C" fn with_info(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's, handed on.
    let info = unsafe { info.read() };
    // SAFETY: that of a fault has an address.
    let (code, address) = (info.si_code, unsafe { info.si_addr() }.addr());
    let is_right = signal == libc::SIGBUS
        && code == libc::BUS_ADRERR
        && address == EXPECTED.load(SeqCst)
        && !context.is_null();
    // SAFETY: ends the process without running anything else of it.
    unsafe { libc::_exit(if is_right { 42 } else { 1 }) };
}

/// Ends the child by the code 43.
extern "C" fn plain(signal: c_int) {
    // SAFETY: ends the process without running anything else of it.
    unsafe { libc::_exit(if signal == libc::SIGBUS { 43 } else { 1 }) };
}

/// Installs a handler, then the guard, and makes an access that is not guarded.
fn fault_after(handler: usize, flags: c_int) {
    set_handler(handler, flags);
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    // The handler is not called for guarded accesses.
    assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
    EXPECTED.store(file.as_ptr(9 * page()).addr(), SeqCst);
    load(&file, 9);
}

#[test]
fn a_former_handler_with_information_gets_it() {
    let ended = in_child("a_former_handler_with_information_gets_it", || {
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = with_info;
        fault_after(handler as usize, libc::SA_SIGINFO);
    });
    assert_exited(ended.as_ref(), 42);
}

#[test]
fn a_former_plain_handler_is_called() {
    let ended = in_child("a_former_plain_handler_is_called", || {
        let handler: extern "C" fn(c_int) = plain;
        fault_after(handler as usize, 0);
    });
    assert_exited(ended.as_ref(), 43);
}

/// The kernel does not ignore what an access raised.
#[test]
fn an_access_with_an_ignored_signal_ends_the_process() {
    let died = in_child("an_access_with_an_ignored_signal_ends_the_process", || {
        fault_after(libc::SIG_IGN, 0);
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn an_access_with_an_unhandled_signal_ends_the_process() {
    let died = in_child("an_access_with_an_unhandled_signal_ends_the_process", || {
        fault_after(libc::SIG_DFL, 0);
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// A signal that another process sent is as ignored, or as deadly, as it was.
#[test]
fn a_signal_that_was_sent_does_what_it_did() {
    let lived = in_child("a_signal_that_was_sent_does_what_it_did", || {
        set_handler(libc::SIG_IGN, 0);
        FaultHandler::install().unwrap();
        // SAFETY: sends this process a signal.
        unsafe { libc::raise(libc::SIGBUS) };
    });
    assert_succeeded(lived.as_ref());
}

#[test]
fn a_signal_that_was_sent_ends_the_process_by_default() {
    let died = in_child("a_signal_that_was_sent_ends_the_process_by_default", || {
        set_handler(libc::SIG_DFL, 0);
        FaultHandler::install().unwrap();
        // SAFETY: sends this process a signal.
        unsafe { libc::raise(libc::SIGBUS) };
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// Twice as many pages as a process can have mappings, and every second one is read: a mapping for each would end it.
#[test]
fn a_cut_file_with_more_pages_than_mappings_is_an_error() {
    let test = "a_cut_file_with_more_pages_than_mappings_is_an_error";
    let Ok(most) = std::fs::read_to_string("/proc/sys/vm/max_map_count") else {
        return skip(test, "/proc/sys/vm/max_map_count cannot be read");
    };
    if usize::BITS < 64 {
        return skip(test, "the address space has no room for so many pages");
    }
    let pages = 4 * most.trim().parse::<u64>().unwrap().min(1 << 20);
    let ended = in_child(test, || {
        let guard = FaultHandler::install().unwrap();
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = directory.path().join("sparse");
        File::create(&path).unwrap().set_len(pages * page()).unwrap();
        let file = options().open(&path).unwrap();
        cut(&file, 1);
        for is_backwards in [false, true] {
            let sum = file.catch_faults(guard, |file| {
                let every_second = (0..pages).step_by(2);
                let number = |at| if is_backwards { pages - 2 - at } else { at };
                every_second.map(|at| load(file, number(at))).sum::<u64>()
            });
            let error = sum.unwrap_err();
            let ErrorKind::Shorter { size, needed, .. } = *error.kind() else { panic!("{error}") };
            assert_eq!((size, needed), (page(), pages * page()));
        }
        // Nothing of it is left.
        cut(&file, pages);
        file.store((pages - 1) * page(), 5, Relaxed);
        assert_eq!(file.catch_faults(guard, |file| load(file, pages - 1)).unwrap(), 5);
    });
    assert_succeeded(ended.as_ref());
}

/// No further mapping is possible, so zeros can only replace the whole mapping, and then the file the zeros.
#[test]
fn a_guard_needs_no_further_mappings() {
    let ended = in_child("a_guard_needs_no_further_mappings", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        cut(&file, 8);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let len = rustix::param::page_size();
        let null = core::ptr::null_mut();
        let mut last = libc::MAP_FAILED;
        // Neighbours with different protections are not merged.
        for protection in [libc::PROT_NONE, libc::PROT_READ].into_iter().cycle() {
            // SAFETY: a new mapping changes nothing that exists.
            let mapped = unsafe { libc::mmap(null, len, protection, flags, -1, 0) };
            if mapped == libc::MAP_FAILED {
                break;
            }
            last = mapped;
        }
        // SAFETY: it was mapped just now, and nothing has a reference to it.
        assert_eq!(unsafe { libc::munmap(last, len) }, 0);
        let result = file.catch_faults(guard, |file| load(file, 9));
        let again = file.catch_faults(guard, |file| load(file, 9));
        let sum =
            file.catch_faults(guard, |file| (0..8).map(|number| load(file, number)).sum::<u64>());
        // Whatever fails from here on needs memory to say so.
        // SAFETY: as above: this is a mapping of the loop.
        assert_eq!(unsafe { libc::munmap(last.wrapping_byte_add(len), 64 * len) }, 0);
        assert_shorter(result, 8);
        assert_shorter(again, 8);
        assert_eq!(sum.unwrap(), 36);
    });
    assert_succeeded(ended.as_ref());
}

/// The process has nearly reached its limit of addresses, so zeros and file can only be mapped in each other's place.
#[test]
fn a_guard_needs_addresses_for_one_further_page() {
    let ended = in_child("a_guard_needs_addresses_for_one_further_page", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        file.catch_faults(guard, |file| load(file, 9)).unwrap();
        cut(&file, 8);
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
        let rlim_cur = libc::rlim_t::try_from((pages + 1) * page()).unwrap();
        let limit = libc::rlimit { rlim_cur, rlim_max: libc::RLIM_INFINITY };
        let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, ..limit };
        // SAFETY: the structure is whole.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
        let result = file.catch_faults(guard, |file| load(file, 9) + load(file, 15));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const unlimited) }, 0);
        // Another mapping gets no place in it.
        let address = file.as_ptr(9 * page()).cast();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let len = rustix::param::page_size();
        // SAFETY: nothing that is mapped is replaced.
        let other = unsafe { libc::mmap(address, len, libc::PROT_READ, flags, -1, 0) };
        assert_eq!(other, libc::MAP_FAILED, "a hole in the mapping");
        assert_shorter(result, 8);
        assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
        cut(&file, PAGES);
        assert_eq!(file.catch_faults(guard, |file| load(file, 7) + load(file, 9)).unwrap(), 8);
    });
    assert_succeeded(ended.as_ref());
}

/// Sends this thread a signal that says what the kernel does: a process may send itself any code.
fn send_to_self(code: c_int) {
    // SAFETY: zeros are a valid one.
    let mut info: siginfo_t = unsafe { core::mem::zeroed() };
    (info.si_signo, info.si_code) = (libc::SIGBUS, code);
    // SAFETY: the call has no arguments.
    let process = unsafe { libc::getpid() };
    // SAFETY: as above.
    let thread = unsafe { libc::gettid() };
    let call = libc::SYS_rt_tgsigqueueinfo;
    // SAFETY: the structure is whole.
    let sent = unsafe { libc::syscall(call, process, thread, libc::SIGBUS, &raw const info) };
    assert_eq!(sent, 0);
}

/// Nothing has accessed the bytes that the kernel speaks of (`BUS_MCEERR_AO`).
fn assert_guarded_after_an_optional_memory_error(test: &str, former: usize) {
    let lived = in_child(test, || {
        set_handler(former, 0);
        let guard = FaultHandler::install().unwrap();
        send_to_self(libc::BUS_MCEERR_AO);
        let (_directory, file) = numbered();
        cut(&file, 8);
        assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
    });
    assert_succeeded(lived.as_ref());
}

#[test]
fn an_optional_memory_error_changes_nothing_by_default() {
    let test = "an_optional_memory_error_changes_nothing_by_default";
    assert_guarded_after_an_optional_memory_error(test, libc::SIG_DFL);
}

#[test]
fn an_optional_memory_error_changes_nothing_where_the_signal_was_ignored() {
    let test = "an_optional_memory_error_changes_nothing_where_the_signal_was_ignored";
    assert_guarded_after_an_optional_memory_error(test, libc::SIG_IGN);
}

/// The standard library's handler of SIGBUS sets the default and returns, so that an access ends the process when it is
/// tried again. Without an access that must not end the guard.
#[test]
fn a_signal_without_an_access_leaves_the_guard_installed() {
    let died = in_child("a_signal_without_an_access_leaves_the_guard_installed", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        cut(&file, 8);
        send_to_self(libc::BUS_MCEERR_AO);
        assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
        send_to_self(libc::BUS_MCEERR_AO);
        assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
        println!("both were errors");
        send_to_self(libc::SI_USER);
    });
    if let Some(died) = &died {
        assert!(said(died).contains("both were errors"), "{}", said(died));
    }
    // As without the guard: the default was set before.
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn an_optional_memory_error_goes_to_the_former_handler() {
    let ended = in_child("an_optional_memory_error_goes_to_the_former_handler", || {
        let handler: extern "C" fn(c_int) = plain;
        set_handler(handler as usize, 0);
        FaultHandler::install().unwrap();
        send_to_self(libc::BUS_MCEERR_AO);
    });
    assert_exited(ended.as_ref(), 43);
}

/// The flag of sigaction(2) by which a call of the system goes on after the signal.
fn assert_restarts(test: &str, former: usize, flags: c_int, expected: c_int) {
    let ended = in_child(test, || {
        set_handler(former, flags);
        FaultHandler::install().unwrap();
        // SAFETY: zeros are a valid one.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        // SAFETY: the call fills the structure.
        let asked = unsafe { libc::sigaction(libc::SIGBUS, core::ptr::null(), &raw mut action) };
        assert_eq!((asked, action.sa_flags & libc::SA_RESTART), (0, expected));
    });
    assert_succeeded(ended.as_ref());
}

#[test]
fn a_call_that_went_on_after_the_signal_still_does() {
    let handler: extern "C" fn(c_int) = plain;
    let test = "a_call_that_went_on_after_the_signal_still_does";
    assert_restarts(test, handler as usize, libc::SA_RESTART, libc::SA_RESTART);
}

#[test]
fn a_call_that_an_ignored_signal_did_not_interrupt_still_goes_on() {
    let test = "a_call_that_an_ignored_signal_did_not_interrupt_still_goes_on";
    assert_restarts(test, libc::SIG_IGN, 0, libc::SA_RESTART);
}

#[test]
fn a_call_that_the_signal_interrupted_still_is() {
    let handler: extern "C" fn(c_int) = plain;
    assert_restarts("a_call_that_the_signal_interrupted_still_is", handler as usize, 0, 0);
}

/// Nests guarded calls, and runs `work` in the innermost one.
fn in_guards(
    file: &DaxFile,
    guard: FaultHandler,
    count: usize,
    work: &dyn Fn(),
) -> Result<(), Error> {
    if count == 0 {
        work();
        return Ok(());
    }
    file.catch_faults(guard, |file| in_guards(file, guard, count - 1, work))?
}

/// The threads that hold all slots do not exist in the child.
#[test]
fn a_forked_child_has_all_slots() {
    let ended = in_child("a_forked_child_has_all_slots", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        let (are_held, are_over) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let wait = || {
                    are_held.wait();
                    are_over.wait();
                };
                in_guards(&file, guard, 255, &wait).unwrap();
            });
            are_held.wait();
            // The child inherits the slot of this call, and frees it.
            let forked = file.catch_faults(guard, |_| {
                // SAFETY: the child calls nothing but guarded calls and `_exit`.
                unsafe { libc::fork() }
            });
            let child = forked.unwrap();
            if child == 0 {
                let is_free = in_guards(&file, guard, 256, &|| ()).is_ok();
                // SAFETY: ends the process without running anything else of it.
                unsafe { libc::_exit(if is_free { 44 } else { 1 }) };
            }
            let mut status = 0;
            // SAFETY: the place is valid.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            // The parent has its own still.
            let is_full = in_guards(&file, guard, 2, &|| ()).is_err();
            are_over.wait();
            assert!(is_full);
            assert_eq!(libc::WEXITSTATUS(status), 44, "{status:#x}");
        });
        in_guards(&file, guard, 256, &|| ()).unwrap();
    });
    assert_succeeded(ended.as_ref());
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
