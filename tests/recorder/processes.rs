//! Processes that end in the middle of recording, and what the next one reads.

use super::plain::{Plain, Recorded, shown};
use crate::skip::skip;
use cachemaint::dax::{self, DaxFile};
use cachemaint::recorder::{
    Clock, Cursor, Durability, ErrorKind, Event, Identity, Options, Reader, Recorder, SignalSafe,
    Within,
};
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use rustix::process::{Signal, getpid, kill_process};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

/// The environment variable that makes a process the child, and has the way it must end.
const END: &str = "CACHEMAINT_RECORDER_END";
const FILE: &str = "CACHEMAINT_RECORDER_FILE";
/// The number of events that the child records.
const EVENTS: u64 = 20;
/// The times that two threads hook recorders, and the number of recorders each time.
const ROUNDS: usize = 30;

fn file(path: &Path) -> DaxFile {
    let options = dax::Options::new().allow_page_granularity();
    options.open(path).unwrap()
}

/// Any thread may get it, and the standard library's handler of SIGSEGV gives one that was sent back to the
/// kernel, for the next time.
fn send(signal: Signal) -> ! {
    loop {
        kill_process(getpid(), signal).unwrap();
        std::thread::yield_now();
    }
}

/// Loads from a mapped file that has been cut off; the recording is in another one.
fn access_what_was_cut_off(recording: &Path) -> u64 {
    let path = recording.with_extension("cut");
    let options = dax::Options::new().allow_page_granularity();
    let mapped = options.create_new(&path, 1 << 16).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    mapped.load(0, Ordering::Relaxed)
}

/// Sends this thread a signal with a code of the kernel's own.
#[expect(unsafe_code, reason = "rustix does not send signals with a code")]
fn send_as_the_kernel(signal: libc::c_int, code: libc::c_int) {
    // SAFETY: zeros are a valid one.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    (info.si_signo, info.si_code) = (signal, code);
    let process = getpid().as_raw_nonzero().get();
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    let call = libc::SYS_rt_tgsigqueueinfo;
    // SAFETY: the structure is whole.
    assert_eq!(unsafe { libc::syscall(call, process, thread, signal, &raw const info) }, 0);
}

/// Does nothing, as the handler of a signal.
extern "C" fn ignore(_: libc::c_int) {}

/// Sets what a signal does.
#[expect(unsafe_code, reason = "rustix installs no handlers")]
fn set_action(signal: libc::c_int, handler: libc::sighandler_t, flags: libc::c_int) {
    // SAFETY: zeros are a valid one.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    let before = core::ptr::null_mut();
    // SAFETY: the structure is whole, and the handler may be called at any place.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, before) }, 0);
}

/// Returns what a signal does.
#[expect(unsafe_code, reason = "rustix does not ask for handlers")]
fn action(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: zeros are a valid one.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    // SAFETY: the call fills the structure.
    assert_eq!(unsafe { libc::sigaction(signal, core::ptr::null(), &raw mut action) }, 0);
    action
}

/// Returns true if SIGTERM interrupts no call of the system, as sigaction(2) has it.
fn term_restarts_calls() -> bool {
    action(libc::SIGTERM).sa_flags & libc::SA_RESTART != 0
}

/// Ends the process with code 7, as the handler of a signal.
#[expect(unsafe_code, reason = "may be called in a handler")]
extern "C" fn leave(_: libc::c_int) {
    // SAFETY: it may be called in a handler (signal-safety(7)).
    unsafe { libc::_exit(7) }
}

/// Raises the signal again, and ends the process if that does not, as the handler of a signal.
#[expect(unsafe_code, reason = "may be called in a handler")]
extern "C" fn raise(signal: libc::c_int) {
    // SAFETY: it may be called in a handler (signal-safety(7)).
    unsafe { libc::raise(signal) };
    // SAFETY: as above.
    unsafe { libc::_exit(1) }
}

/// Forks. The child does the work and ends with code 8; this process ends as the child.
#[expect(unsafe_code, reason = "forks")]
fn end_as_a_child(work: impl FnOnce()) -> ! {
    // SAFETY: the other threads of this process wait for this test, and hold no lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        work();
        // SAFETY: the process ends at once.
        unsafe { libc::_exit(8) };
    }
    let mut status = 0;
    // SAFETY: the status is a whole integer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    let signal = libc::WIFSIGNALED(status).then(|| 100 + libc::WTERMSIG(status));
    std::process::exit(signal.unwrap_or_else(|| libc::WEXITSTATUS(status)))
}

static CLOCK_PANICS: AtomicBool = AtomicBool::new(false);

/// A clock that can panic once, in the middle of an event.
fn ticks() -> u64 {
    assert!(!CLOCK_PANICS.swap(false, Ordering::Relaxed), "in the clock");
    EVENTS
}

static CURSORS_ABORT: AtomicBool = AtomicBool::new(false);

/// Cursors that can abort in the middle of a write-back.
struct Aborting([Cursor; 2]);

impl AsRef<[Cursor]> for Aborting {
    fn as_ref(&self) -> &[Cursor] {
        if CURSORS_ABORT.load(Ordering::Relaxed) {
            std::process::abort();
        }
        &self.0
    }
}

#[expect(unsafe_code, reason = "asserts that it may be called in a handler")]
// SAFETY: (1) `abort` may be called in a handler (signal-safety(7)).
unsafe impl SignalSafe for Aborting {}

/// Gives this thread an alternate stack for two handlers. That of the standard library has 8 KiB, which can be too little.
#[expect(unsafe_code, reason = "rustix sets no alternate stack")]
fn widen_alternate_stack() {
    const LEN: usize = 64 << 10;
    let bytes = vec![0_u8; LEN].leak();
    let stack = libc::stack_t { ss_sp: bytes.as_mut_ptr().cast(), ss_flags: 0, ss_size: LEN };
    let before = core::ptr::null_mut();
    // SAFETY: nothing else uses the memory, which is never given back.
    assert_eq!(unsafe { libc::sigaltstack(&raw const stack, before) }, 0);
}

/// Aborts, which stops a second recorder whose write-back aborts as well.
fn abort_twice(recording: &Path) -> ! {
    widen_alternate_stack();
    let medium = dax::Options::new().allow_page_granularity();
    let medium = medium.create_new(recording.with_extension("second"), 1 << 16).unwrap();
    let options = Options::with_clock(Identity([9; 16]), Clock::from_function(ticks, 1, 0));
    let options = options.cursors(|_| Aborting([const { Cursor::new() }; 2]));
    let recorder = Box::leak(Box::new(options.create_new(medium).unwrap()));
    recorder.stop_on_signals().unwrap();
    CURSORS_ABORT.store(true, Ordering::Relaxed);
    std::process::abort()
}

/// Uses up the stack.
#[expect(unconditional_recursion, reason = "that is the point")]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    overflow(depth + 1) + frame[63]
}

/// Two threads hook recorders at the same time, again and again. Returns the number of those that a panic has not stopped.
fn running_after_panics() -> usize {
    (0..ROUNDS)
        .map(|_| {
            let started = AtomicUsize::new(0);
            let hook = || {
                let recorders: Vec<_> = (0..ROUNDS).map(|_| in_memory()).collect();
                started.fetch_add(1, Ordering::SeqCst);
                while started.load(Ordering::SeqCst) < 2 {
                    core::hint::spin_loop();
                }
                for recorder in &recorders {
                    recorder.stop_on_panic().unwrap();
                }
                recorders
            };
            let recorders = std::thread::scope(|scope| {
                let threads = [scope.spawn(hook), scope.spawn(hook)];
                threads.map(|thread| thread.join().unwrap()).concat()
            });
            assert!(std::panic::catch_unwind(|| panic!("as the test asks")).is_err());
            drop(std::panic::take_hook());
            recorders.iter().filter(|recorder| !recorder.is_stopped()).count()
        })
        .sum()
}

/// A recorder of one shard.
fn in_memory() -> &'static Recorder<Plain> {
    let options = Options::with_clock(Identity([9; 16]), Clock::from_function(ticks, 1, 0));
    let recorder = options.sub_buffer_size(256).create_new(Plain::new(16 << 10)).unwrap();
    Box::leak(Box::new(recorder))
}

/// The child records events, and ends as the environment variable demands.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn child() {
    let (Ok(end), Some(path)) = (std::env::var(END), std::env::var_os(FILE)) else { return };
    let clock = Clock::from_function(ticks, 1, 0);
    let options = Options::with_clock(Identity([9; 16]), clock).durability(Durability::OnCrash);
    let options = options.shards(2);
    let recorder = Box::leak(Box::new(options.create_new(file(Path::new(&path))).unwrap()));
    let handlers: [extern "C" fn(libc::c_int); 3] = [ignore, leave, raise];
    #[expect(clippy::fn_to_numeric_cast_any, reason = "sigaction takes a number")]
    let [nothing, leave, raise] = handlers.map(|handler| handler as libc::sighandler_t);
    match end.as_str() {
        "fork" => set_action(libc::SIGTERM, leave, 0),
        "abort-twice" => set_action(libc::SIGABRT, leave, 0),
        "once" => set_action(libc::SIGBUS, nothing, libc::SA_RESETHAND),
        "raise" => set_action(libc::SIGSEGV, raise, libc::SA_RESETHAND | libc::SA_NODEFER),
        "kernel" => set_action(libc::SIGTERM, libc::SIG_DFL, 0),
        "restart" => set_action(libc::SIGTERM, nothing, libc::SA_RESTART),
        "interrupt" => set_action(libc::SIGTERM, nothing, 0),
        // Not the standard library's.
        "optional" => set_action(libc::SIGBUS, libc::SIG_DFL, 0),
        _ => {}
    }
    recorder.stop_on_signals().unwrap();
    let writer = recorder.claim().unwrap();
    recorder.stop_on_panic().unwrap();
    // The second shard is reserved for the message.
    let taken = recorder.claim().map(drop).unwrap_err();
    assert!(matches!(taken.kind(), ErrorKind::AllShardsTaken { shards: 2, .. }), "{taken}");
    (0..EVENTS).for_each(|number| writer.record_at(number, 1, &number.to_le_bytes()).unwrap());
    match end.as_str() {
        "kill" => send(Signal::KILL),
        "term" => send(Signal::TERM),
        "restart" | "interrupt" => std::process::exit(if term_restarts_calls() { 5 } else { 6 }),
        "hooked-again" => {
            set_action(libc::SIGTERM, libc::SIG_DFL, 0);
            // More often than there are places for recorders.
            (0..20).try_for_each(|_| recorder.stop_on_signals()).unwrap();
            let is_default = action(libc::SIGTERM).sa_sigaction == libc::SIG_DFL;
            std::process::exit(if is_default { 6 } else { 5 })
        }
        "fork" => end_as_a_child(|| send(Signal::TERM)),
        "fork-panic" => end_as_a_child(|| {
            let caught = std::panic::catch_unwind(|| panic!("as the test asks"));
            assert!(caught.is_err());
        }),
        "kernel" => send_as_the_kernel(libc::SIGTERM, libc::SI_KERNEL),
        "raise" | "segv" => send(Signal::SEGV),
        "abort" => std::process::abort(),
        "abort-twice" => abort_twice(Path::new(&path)),
        "once" | "bus" => panic!("{} was loaded", access_what_was_cut_off(Path::new(&path))),
        // A memory error that nothing has accessed yet.
        "optional" => {
            send_as_the_kernel(libc::SIGBUS, libc::BUS_MCEERR_AO);
            std::process::exit(4);
        }
        "overflow" => panic!("{} frames", overflow(0)),
        "panic" => {
            let caught = std::panic::catch_unwind(|| panic!("as the test asks"));
            assert!(caught.is_err() && recorder.is_stopped());
            assert!(writer.record_at(99, 1, b"too late").is_err());
            std::process::exit(3);
        }
        "refused-hook" => {
            let refused = recorder.stop_on_panic().unwrap_err();
            assert!(
                matches!(refused.kind(), ErrorKind::AllShardsTaken { shards: 2, .. }),
                "{refused}"
            );
            let caught = std::panic::catch_unwind(|| panic!("as the test asks"));
            assert!(caught.is_err());
        }
        "many-hooks" => std::process::exit(i32::from(running_after_panics() > 0)),
        "long-panic" => panic!("{}", "\u{20ac}".repeat(1000)),
        "panic-in-record" => {
            CLOCK_PANICS.store(true, Ordering::Relaxed);
            drop(writer.record(1, b"never"));
        }
        other => panic!("no end: {other}"),
    }
}

/// Ends a child. Returns its status, and the times of the events in the first shard.
fn end(how: &str) -> (ExitStatus, Vec<u64>) {
    let (status, shards) = ended(how);
    (status, shards[0].iter().map(|event| event.timestamp).collect())
}

/// Ends a child. Returns its status, and the events of each shard.
fn ended(how: &str) -> (ExitStatus, Vec<Vec<Recorded>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    drop(dax::Options::new().allow_page_granularity().create_new(&path, 1 << 16).unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["recorder::processes::child", "--exact", "--nocapture"]);
    let output = child.env(END, how).env(FILE, &path).output().unwrap();
    let file = file(&path);
    let reader = Reader::open(&file).unwrap();
    let shards = 0..reader.description().shards;
    (output.status, shards.map(|shard| shown(&reader, shard).events).collect())
}

/// Returns true if the environment says that this runs on an emulated CPU: user-mode emulation does not run this program
/// from within itself.
fn is_emulated(test: &str) -> bool {
    let is_emulated = std::env::var_os("CACHEMAINT_EXPECT").is_some();
    if is_emulated {
        skip(test, "user-mode emulation does not run this program from within itself");
    }
    is_emulated
}

#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn events_outlive_their_process_and_the_signal_ends_it_as_before() {
    if is_emulated("events_outlive_their_process_and_the_signal_ends_it_as_before") {
        return;
    }
    let signals: [(_, &[_]); 7] = [
        ("kill", &[libc::SIGKILL]),
        ("term", &[libc::SIGTERM]),
        ("segv", &[libc::SIGSEGV]),
        ("abort", &[libc::SIGABRT]),
        ("bus", &[libc::SIGBUS]),
        ("optional", &[libc::SIGBUS]),
        // The standard library's handler comes next: it reports the overflow and aborts if it knows the end of the
        // stack. In a statically linked program it did not know it.
        ("overflow", &[libc::SIGABRT, libc::SIGSEGV]),
    ];
    for (how, signals) in signals {
        let (status, times) = end(how);
        let is_expected = status.signal().is_some_and(|signal| signals.contains(&signal));
        assert!(is_expected, "{how}: {status:?}");
        assert_eq!(times, (0..EVENTS).collect::<Vec<_>>(), "{how}");
    }
}

/// As if the recorder itself had found a fault.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn an_abort_in_the_write_back_of_an_abort_calls_the_former_handler() {
    if is_emulated("an_abort_in_the_write_back_of_an_abort_calls_the_former_handler") {
        return;
    }
    let (status, times) = end("abort-twice");
    // A C library that leaves the signal blocked ends the process instead.
    let is_expected = status.code() == Some(7) || status.signal() == Some(libc::SIGABRT);
    assert!(is_expected, "{status:?}");
    assert_eq!(times, (0..EVENTS).collect::<Vec<_>>());
}

/// The program's own handler decided it.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn a_signal_interrupts_calls_of_the_system_only_if_it_did_before() {
    if is_emulated("a_signal_interrupts_calls_of_the_system_only_if_it_did_before") {
        return;
    }
    assert_eq!(end("restart").0.code(), Some(5));
    assert_eq!(end("interrupt").0.code(), Some(6));
}

/// The first process of a container continues after such a signal.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn a_signal_whose_default_was_set_stops_recorders_again_when_asked_to() {
    if is_emulated("a_signal_whose_default_was_set_stops_recorders_again_when_asked_to") {
        return;
    }
    assert_eq!(end("hooked-again").0.code(), Some(5));
}

/// The child has no mapping of the recording.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn a_forked_child_ends_as_without_the_hooks() {
    if is_emulated("a_forked_child_ends_as_without_the_hooks") {
        return;
    }
    assert_eq!(end("fork").0.code(), Some(7), "by its own handler of SIGTERM");
    assert_eq!(end("fork-panic").0.code(), Some(8), "after it has caught the panic");
}

/// sigaction(2), `SA_RESETHAND`, `SA_NODEFER`. `SysRq` sends SIGTERM with a positive code (Linux, `drivers/tty/sysrq.c`).
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn a_former_handler_is_called_as_the_kernel_would() {
    if is_emulated("a_former_handler_is_called_as_the_kernel_would") {
        return;
    }
    for (how, signal) in
        [("once", libc::SIGBUS), ("raise", libc::SIGSEGV), ("kernel", libc::SIGTERM)]
    {
        let (status, times) = end(how);
        assert_eq!(status.signal(), Some(signal), "{how}: {status:?}");
        assert_eq!(times, (0..EVENTS).collect::<Vec<_>>(), "{how}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn a_panic_stops_recording_and_then_goes_its_way() {
    if is_emulated("a_panic_stops_recording_and_then_goes_its_way") {
        return;
    }
    let (status, times) = end("panic");
    assert_eq!(status.code(), Some(3));
    assert_eq!(times, (0..EVENTS).collect::<Vec<_>>());
}

#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn hooks_that_threads_set_at_the_same_time_all_stay() {
    if is_emulated("hooks_that_threads_set_at_the_same_time_all_stay") {
        return;
    }
    assert_eq!(end("many-hooks").0.code(), Some(0));
}

/// The thread that panics owns the first shard, so that the message is in the second one.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn the_last_event_has_the_message_and_the_place_of_a_panic() {
    if is_emulated("the_last_event_has_the_message_and_the_place_of_a_panic") {
        return;
    }
    let euros = "\u{20ac}".repeat(1000);
    for (how, message) in
        [("panic", "as the test asks"), ("panic-in-record", "in the clock"), ("long-panic", &euros)]
    {
        let (_, shards) = ended(how);
        assert_eq!(shards[0].len(), EVENTS as usize, "{how}");
        let [event] = &shards[1][..] else { panic!("{how}: {:?}", shards[1]) };
        assert_eq!((event.id, event.timestamp), (Event::PANIC, EVENTS), "{how}");
        let text = str::from_utf8(&event.payload).unwrap();
        let (place, text) = text.split_once(": ").unwrap();
        assert!(place.starts_with("tests/recorder/processes.rs:"), "{how}: {place}");
        assert!(message.starts_with(text), "{how}: {text}");
        let is_whole = text == message || (510..=512).contains(&event.payload.len());
        assert!(is_whole, "{how}: {} bytes", event.payload.len());
    }
    // A hook that found no shard is not set, so that the message is there once.
    let (status, shards) = ended("refused-hook");
    assert!(status.success());
    assert_eq!((shards[0].len(), shards[1].len()), (EVENTS as usize, 1));
}

/// The exit code is one that a panicking test does not have, of which the child has the only thread.
#[test]
#[expect(unsafe_code, reason = "a child is forked")]
fn a_forked_child_does_not_wait_for_a_thread_of_its_parent() {
    const RIGHT: i32 = 5;
    let recorder = Arc::new(Recorder::create_new(Plain::new(1 << 16)).unwrap());
    let within = Within::start(recorder, Duration::from_secs(3600)).unwrap();
    // SAFETY: the child allocates nothing, and runs no code of the parent's but that below.
    let child = unsafe { libc::fork() };
    assert_ne!(child, -1, "{}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: the call has no conditions. A child that waits is killed.
        unsafe { libc::alarm(30) };
        let longest = within.longest();
        drop(within);
        // SAFETY: ends the child without the destructors of the parent.
        unsafe { libc::_exit(if longest == Duration::MAX { RIGHT } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and so is the status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(ExitStatus::from_raw(status).code(), Some(RIGHT));
    assert!(within.finish().unwrap() < Duration::MAX);
}
