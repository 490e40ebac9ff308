//! Accesses that raise SIGBUS, with a handler and without one.
//!
//! The process has one action for SIGBUS, so these tests have a process of their own. A test that ends the process or
//! needs other handlers runs in a child, which is this program again with one test to run.

// The handler refuses to be installed on other architectures.
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
    clippy::fn_to_numeric_cast_any,
    reason = "signals are asked for by libc; a test fails by panicking"
)]

use cachemaint::cache::Destination;
use cachemaint::dax::{DaxFile, Error, ErrorKind, FaultHandler, Options};
use cachemaint::medium::{Medium, Readable};
use cachemaint_test_support::skip::skip;
use core::ffi::{c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use libc::siginfo_t;
use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;
use std::fs::File;
use std::io::Write;
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
    file.persist(0..PAGES * page()).unwrap();
    (directory, file)
}

fn load(file: &DaxFile, number: u64) -> u64 {
    file.load(number * page(), Relaxed)
}

fn cut(file: &DaxFile, pages: u64) {
    File::options().write(true).open(file.path()).unwrap().set_len(pages * page()).unwrap();
}

#[track_caller]
fn assert_shorter(result: Result<(), Error>, pages: u64) {
    let error = result.unwrap_err();
    let expected = (pages * page(), PAGES * page());
    assert!(
        matches!(error.kind(), ErrorKind::Shorter { size, needed, .. } if (*size, *needed) == expected),
        "{error}"
    );
}

/// Asks every call that can fail and changes no length, of the file, its view and its traits.
#[track_caller]
fn assert_every_call_fails(file: &DaxFile, pages: u64) {
    let (view, parts, bytes) = (file.view(), &[(0, &b"x"[..])], &mut [0; 8]);
    let results = [
        file.persist_copy(parts),
        file.persist_copy_to(parts, Destination::Cold),
        file.persist_fill(0..8, 1, Destination::Unknown),
        file.persist_copy_within(0..8, 64, Destination::Unknown),
        view.check(),
        view.read(0, bytes),
        view.persist(0..8),
        view.deep_persist(0..8),
        view.issue_writeback(0..8),
        view.fence(),
        view.try_load(0, Relaxed).map(drop),
        file.try_load(0, Relaxed).map(drop),
        Readable::read(file, 0, bytes),
        Readable::pread(file, 0, bytes).unwrap(),
        Readable::check(file),
        Medium::issue_writeback(file, 0..8),
        Medium::fence(file),
        Medium::persist(file, 0..8),
        Medium::persist_copy(file, parts),
        Medium::copy_unfenced(file, parts),
        Medium::deep_persist(file, 0..8),
        // SAFETY: no code relies on the bytes.
        unsafe { file.copy_unordered(parts) },
    ];
    for result in results {
        assert_shorter(result, pages);
    }
}

#[test]
fn every_call_after_an_access_to_what_was_cut_off_returns_that_failure() {
    FaultHandler::install().unwrap();
    let (directory, mut file) = numbered();
    let (_other_directory, other) = numbered();
    cut(&file, 8);
    assert_eq!(load(&file, 9), 0, "zeros, which nobody is to believe");
    assert_shorter(file.check(), 8);
    cut(&file, PAGES); // whatever happens then
    assert_shorter(file.check(), 8);
    assert_every_call_fails(&file, 8);
    assert_shorter(file.grow(2 * PAGES * page()), 8);
    assert_shorter(file.shrink(page()), 8);
    assert_eq!(load(&other, 9), 10);
    other.check().unwrap();

    drop(file);
    let again = options().open(directory.path().join("file")).unwrap();
    assert_eq!(
        [7, 8].map(|number| load(&again, number)),
        [8, 0],
        "what was stored before is there"
    );
    again.persist(0..8).unwrap();
}

#[test]
fn two_threads_that_access_what_was_cut_off_never_believe_zeros() {
    FaultHandler::install().unwrap();
    for _ in 0..50 {
        let (_directory, file) = numbered();
        let file = &file;
        let read_until_it_fails = |number: u64| {
            loop {
                let word = load(file, number);
                match file.check() {
                    Ok(()) => assert_eq!(word, number + 1),
                    Err(error) => return error,
                }
            }
        };
        thread::scope(|scope| {
            let threads = [9, 12].map(|number| scope.spawn(move || read_until_it_fails(number)));
            thread::yield_now();
            cut(file, 8);
            let [one, other] = threads.map(|thread| thread.join().unwrap());
            assert!(matches!(one.kind(), ErrorKind::Shorter { .. }), "{one}");
            assert_eq!(one, other);
        });
    }
}

/// Sends this thread a signal that says what the kernel does: a process may send itself any code.
fn send_to_self(code: c_int, address: usize) {
    // SAFETY: zeros are a valid one.
    let mut info: siginfo_t = unsafe { core::mem::zeroed() };
    (info.si_signo, info.si_code) = (libc::SIGBUS, code);
    let words = (&raw mut info).cast::<usize>();
    // It follows three words of 4 bytes, aligned (`include/uapi/asm-generic/siginfo.h`).
    let place = words.wrapping_add(12_usize.div_ceil(size_of::<usize>()));
    // SAFETY: the place is in the structure.
    unsafe { place.write(address) };
    // SAFETY: the call has no arguments.
    let process = unsafe { libc::getpid() };
    // SAFETY: as above.
    let thread = unsafe { libc::gettid() };
    let call = libc::SYS_rt_tgsigqueueinfo;
    // SAFETY: the structure is whole.
    let sent = unsafe { libc::syscall(call, process, thread, libc::SIGBUS, &raw const info) };
    assert_eq!(sent, 0);
}

/// The kernel's signal of a memory error, and of a page that was missing and is there now.
#[test]
fn an_access_fails_for_the_reason_of_its_signal() {
    if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
        let test = "an_access_fails_for_the_reason_of_its_signal";
        return skip(test, "user-mode emulation takes a signal with the kernel's code for its own");
    }
    FaultHandler::install().unwrap();
    let fail = |code| {
        let (_directory, file) = numbered();
        send_to_self(code, file.as_ptr(5 * page() + 64).addr());
        assert_eq!(load(&file, 5), 0);
        file.check().unwrap_err()
    };
    let poisoned = fail(libc::BUS_MCEERR_AR);
    let expected = (5 * page(), page());
    assert!(
        matches!(poisoned.kind(), ErrorKind::Poisoned { at, len, .. } if (*at, *len) == expected),
        "{poisoned}"
    );
    let gone = fail(libc::BUS_ADRERR);
    assert_eq!(gone.raw_os_error(), Some(libc::EFAULT), "{gone}");
}

#[test]
fn a_store_to_a_hole_of_a_full_file_system_has_no_space() {
    FaultHandler::install().unwrap();
    let test = "a_store_to_a_hole_of_a_full_file_system_has_no_space";
    cachemaint_test_support::own_mount::with_small_tmpfs(test, |directory| {
        let path = directory.join("sparse");
        File::create(&path).unwrap().set_len(PAGES * page()).unwrap();
        let file = options().open(&path).unwrap();
        let mut filler = File::create(directory.join("filler")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
        file.store(3 * page(), 7, Relaxed);
        let error = file.persist(0..8).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
    });
}

/// It has a block, and copy on write needs another. The page can be read, and the file system counts some blocks as free. So
/// the reason does not show, and the error names those that are left.
#[test]
fn a_store_to_a_written_page_of_a_full_btrfs_is_an_error_that_names_space() {
    const FILL: &str = "head -c 1G /dev/zero >fill; sync; for n in $(seq 999); do \
                        head -c 4096 /dev/zero >$n || break; done; sync";

    FaultHandler::install().unwrap();
    let test = "a_store_to_a_written_page_of_a_full_btrfs_is_an_error_that_names_space";
    cachemaint_test_support::own_mount::with_mount(test, "tmpfs", c"size=80m", |directory| {
        let shell = |script: &str| {
            let done = Command::new("sh").args(["-c", script]).current_dir(directory).output();
            done.is_ok_and(|output| output.status.success())
        };
        if !shell("truncate -s 48M i && mkfs.btrfs -q -M i && mkdir m && mount -o loop i m") {
            return skip(test, "no btrfs can be made and mounted");
        }
        let file = options().create_new(directory.join("m/file"), PAGES * page()).unwrap();
        shell(&format!("cd m; {FILL}"));
        file.store(3 * page(), 7, Relaxed);
        let error = file.check().unwrap_err();
        drop(file);
        assert!(shell("umount m"));
        assert!(error.to_string().contains("no space or no quota left"), "{error}");
    });
}

fn place_of_errno() -> *mut c_int {
    // SAFETY: the call only gives an address.
    unsafe { libc::__errno_location() }
}

/// A caller looks at `errno` after its own calls, and has no part in the handler's.
#[test]
fn errno_is_as_it_was() {
    FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    // SAFETY: the place is this thread's own.
    unsafe { place_of_errno().write(123) };
    load(&file, 9);
    // SAFETY: as above.
    assert_eq!(unsafe { place_of_errno().read() }, 123);
    assert_shorter(file.check(), 8);
}

/// Zeros and the file can only be locked in each other's place.
#[test]
fn a_fault_needs_no_further_locked_memory() {
    const TEST: &str = "a_fault_needs_no_further_locked_memory";
    let limit = Rlimit { current: Some((PAGES + 64) * page()), ..getrlimit(Resource::Memlock) };
    if limit.maximum < limit.current && limit.maximum.is_some() {
        return skip(TEST, "this user may lock too little memory (ulimit -H -l)");
    }
    let ended = in_child(TEST, || {
        FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        let path = file.path().to_path_buf();
        drop(file);
        // The limit is not one for this capability.
        let mut capabilities = rustix::thread::capabilities(None).unwrap();
        capabilities.effective.remove(CapabilitySet::IPC_LOCK);
        rustix::thread::set_capabilities(None, capabilities).unwrap();
        setrlimit(Resource::Memlock, limit).unwrap();
        rustix::mm::mlockall(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).unwrap();
        let file = options().open(&path).unwrap();
        cut(&file, 8);
        load(&file, 9);
        assert_shorter(file.check(), 8);
    });
    assert_succeeded(ended.as_ref());
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

/// The control: this is what the handler is for.
#[test]
fn without_a_handler_the_process_dies() {
    let died = in_child("without_a_handler_the_process_dies", || {
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

/// Sets the action of SIGBUS, as a program may have before it installs the handler. The action blocks SIGUSR1 too.
fn set_handler(handler: usize, flags: c_int) {
    // SAFETY: zeros are a valid one.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    // SAFETY: the set can be written.
    unsafe { libc::sigaddset(&raw mut action.sa_mask, libc::SIGUSR1) };
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

/// Installs a handler, then that of this crate, and accesses a mapping of this crate and one of another library.
fn fault_after(handler: usize, flags: c_int) {
    set_handler(handler, flags);
    FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    // SAFETY: nothing refers to its bytes.
    let foreign = unsafe { memmap2::Mmap::map(&File::open(file.path()).unwrap()) }.unwrap();
    cut(&file, 8);
    load(&file, 9);
    assert_shorter(file.check(), 8);
    let place = foreign.as_ptr().wrapping_add(rustix::param::page_size() * 9);
    EXPECTED.store(place.addr(), SeqCst);
    // SAFETY: the address is mapped.
    let _byte = unsafe { place.read_volatile() };
}

#[test]
fn a_former_handler_with_information_gets_the_faults_of_other_mappings() {
    let ended =
        in_child("a_former_handler_with_information_gets_the_faults_of_other_mappings", || {
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = with_info;
            fault_after(handler as usize, libc::SA_SIGINFO);
        });
    assert_exited(ended.as_ref(), 42);
}

#[test]
fn a_former_plain_handler_gets_the_faults_of_other_mappings() {
    let ended = in_child("a_former_plain_handler_gets_the_faults_of_other_mappings", || {
        let handler: extern "C" fn(c_int) = plain;
        fault_after(handler as usize, 0);
    });
    assert_exited(ended.as_ref(), 43);
}

/// The kernel does not ignore what an access raised.
#[test]
fn a_fault_of_another_mapping_ends_the_process_where_the_signal_was_ignored() {
    let test = "a_fault_of_another_mapping_ends_the_process_where_the_signal_was_ignored";
    let died = in_child(test, || fault_after(libc::SIG_IGN, 0));
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn a_fault_of_another_mapping_ends_the_process_by_default() {
    let test = "a_fault_of_another_mapping_ends_the_process_by_default";
    let died = in_child(test, || fault_after(libc::SIG_DFL, 0));
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// Ends the child by a code with a bit for each of some signals that are blocked.
extern "C" fn with_blocked_signals(_: c_int) {
    // SAFETY: zeros are an empty set.
    let mut blocked: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: nothing is changed, and the set can be written.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &raw mut blocked) };
    let bits = [libc::SIGBUS, libc::SIGUSR1, libc::SIGUSR2].into_iter().enumerate();
    let code = bits.fold(64, |code, (bit, signal)| {
        // SAFETY: the set is whole.
        code | unsafe { libc::sigismember(&raw const blocked, signal) } << bit
    });
    // SAFETY: ends the process without running anything else of it.
    unsafe { libc::_exit(code) };
}

/// A handler that leaves by `longjmp` would keep signals blocked that it has not asked for.
#[test]
fn a_former_handler_runs_with_the_signals_blocked_that_it_asked_for() {
    let test = "a_former_handler_runs_with_the_signals_blocked_that_it_asked_for";
    let handler: extern "C" fn(c_int) = with_blocked_signals;
    let ended = in_child(test, || fault_after(handler as usize, 0));
    assert_exited(ended.as_ref(), 64 | 0b011);
}

#[test]
fn a_former_handler_that_takes_further_faults_still_does() {
    let test = "a_former_handler_that_takes_further_faults_still_does";
    let handler: extern "C" fn(c_int) = with_blocked_signals;
    let ended = in_child(test, || fault_after(handler as usize, libc::SA_NODEFER));
    assert_exited(ended.as_ref(), 64 | 0b010);
}

/// Returns at its first call. A second one ends the process by a code.
extern "C" fn once(_: c_int) {
    static CALLS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
    if CALLS.fetch_add(1, Relaxed) > 0 {
        // SAFETY: ends the process without running anything else of it.
        unsafe { libc::_exit(44) };
    }
}

/// As a crash reporter that writes its report and lets the access be tried again.
#[test]
fn a_former_handler_for_one_call_is_called_once() {
    let test = "a_former_handler_for_one_call_is_called_once";
    let handler: extern "C" fn(c_int) = once;
    let died = in_child(test, || fault_after(handler as usize, libc::SA_RESETHAND));
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// A signal that another process sent is as ignored, or as deadly, as it was.
#[test]
fn a_signal_that_was_sent_is_as_ignored_as_it_was() {
    let lived = in_child("a_signal_that_was_sent_is_as_ignored_as_it_was", || {
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

/// A memory error that nothing has accessed yet: the kernel sends it to a process that asked for it (prctl(2),
/// `PR_MCE_KILL_EARLY`).
fn memory_error_after(handler: usize) {
    set_handler(handler, 0);
    FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    send_to_self(libc::BUS_MCEERR_AO, file.as_ptr(0).addr());
}

#[test]
fn an_early_memory_error_ends_the_process_by_default() {
    let test = "an_early_memory_error_ends_the_process_by_default";
    assert_died_by(in_child(test, || memory_error_after(libc::SIG_DFL)).as_ref(), libc::SIGBUS);
}

#[test]
fn an_early_memory_error_is_as_ignored_as_it_was() {
    let test = "an_early_memory_error_is_as_ignored_as_it_was";
    assert_succeeded(in_child(test, || memory_error_after(libc::SIG_IGN)).as_ref());
}

/// The standard library's handler of SIGBUS sets the default and returns, so that an access ends the process when it is
/// tried again. A memory error that nothing has accessed yet must not end the handler here.
#[test]
fn a_signal_without_an_access_leaves_the_handler_installed() {
    let lived = in_child("a_signal_without_an_access_leaves_the_handler_installed", || {
        FaultHandler::install().unwrap();
        for _ in 0..2 {
            let (_directory, file) = numbered();
            send_to_self(libc::BUS_MCEERR_AO, file.as_ptr(0).addr());
            file.check().unwrap();
            cut(&file, 8);
            load(&file, 9);
            assert_shorter(file.check(), 8);
        }
    });
    assert_succeeded(lived.as_ref());
}
