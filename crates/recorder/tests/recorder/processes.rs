//! Processes that end while they record, and what the next process reads.

use super::plain::{Plain, Recorded, shown};
use cachemaint::dax::{self, DaxFile};
use cachemaint_recorder::{
    Clock, Durability, ErrorKind, Event, Identity, Options, Reader, Recorder, Within,
};
use cachemaint_test_support::skip::skip;
use core::sync::atomic::{AtomicBool, Ordering};
use rustix::process::{Signal, getpid, kill_process};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

/// The environment variable that makes a process the child, and says how it ends.
const END: &str = "CACHEMAINT_RECORDER_END";
const FILE: &str = "CACHEMAINT_RECORDER_FILE";
/// The number of events that the child records.
const EVENTS: u64 = 20;

fn file(path: &Path) -> DaxFile {
    let options = dax::Options::new().allow_page_granularity();
    options.open(path).unwrap()
}

/// Forks. The child does the work and exits with code 8. This process then ends in the same way as the child.
#[expect(unsafe_code, reason = "forks")]
fn end_as_a_child(work: impl FnOnce()) -> ! {
    // SAFETY: the other threads of this process wait for this test and hold no lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        work();
        // SAFETY: the process ends at once.
        unsafe { libc::_exit(8) };
    }
    let mut status = 0;
    // SAFETY: the status is a valid integer.
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

/// The child records events, and ends as the environment variable says.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn child() {
    let (Ok(end), Some(path)) = (std::env::var(END), std::env::var_os(FILE)) else { return };
    let clock = Clock::from_function(ticks, 1, || 0);
    let options = Options::with_clock(Identity([9; 16]), clock).durability(Durability::OnRequest);
    let options = options.shards(2);
    let (recorder, _) = options.create_new(file(Path::new(&path))).unwrap();
    let recorder = Box::leak(Box::new(recorder));
    let writer = recorder.claim().unwrap();
    recorder.stop_on_panic().unwrap();
    // The second shard is kept free for the message.
    let taken = recorder.claim().map(drop).unwrap_err();
    assert!(matches!(taken.kind(), ErrorKind::AllShardsTaken { shards: 2, .. }), "{taken}");
    (0..EVENTS).for_each(|number| writer.record_at(number, 1, &number.to_le_bytes()).unwrap());
    match end.as_str() {
        "kill" => loop {
            kill_process(getpid(), Signal::KILL).unwrap();
        },
        "fork-panic" => end_as_a_child(|| {
            let caught = std::panic::catch_unwind(|| panic!("as the test asks"));
            assert!(caught.is_err());
        }),
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
        "long-panic" => panic!("{}", "\u{20ac}".repeat(1000)),
        "panic-in-record" => {
            CLOCK_PANICS.store(true, Ordering::Relaxed);
            drop(writer.record(1, b"never"));
        }
        other => panic!("no end: {other}"),
    }
}

/// Runs a child. Returns its status, and the events of each shard.
fn ended(how: &str) -> (ExitStatus, Vec<Vec<Recorded>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    drop(dax::Options::new().allow_page_granularity().create_new(&path, 1 << 16).unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["processes::child", "--exact", "--nocapture"]);
    let output = child.env(END, how).env(FILE, &path).output().unwrap();
    let file = file(&path);
    let reader = Reader::open(&file).unwrap();
    let shards = 0..reader.description().shards;
    (output.status, shards.map(|shard| shown(&reader, shard).events).collect())
}

/// Returns true if the environment says that the CPU is emulated: user-mode emulation cannot run this program from
/// within itself.
fn is_emulated(test: &str) -> bool {
    let is_emulated = std::env::var_os("CACHEMAINT_EXPECT").is_some();
    if is_emulated {
        skip(test, "user-mode emulation does not run this program from within itself");
    }
    is_emulated
}

#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn events_outlive_their_process() {
    if is_emulated("events_outlive_their_process") {
        return;
    }
    for how in ["kill", "panic"] {
        let (status, shards) = ended(how);
        let ended = if how == "kill" { (None, Some(libc::SIGKILL)) } else { (Some(3), None) };
        assert_eq!((status.code(), status.signal()), ended, "{status:?}");
        let times: Vec<_> = shards[0].iter().map(|event| event.timestamp).collect();
        assert_eq!(times, (0..EVENTS).collect::<Vec<_>>());
    }
    // A forked child has no mapping of the recording, and ends as it would without the hook.
    assert_eq!(ended("fork-panic").0.code(), Some(8), "after it has caught the panic");
}

/// The panicking thread owns the first shard, so the message is in the second one.
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
        assert!(place.contains("tests/recorder/processes.rs:"), "{how}: {place}");
        assert!(message.starts_with(text), "{how}: {text}");
        let is_whole = text == message || (510..=512).contains(&event.payload.len());
        assert!(is_whole, "{how}: {} bytes", event.payload.len());
    }
    // A hook that finds no shard is not set, so the message occurs once.
    let (status, shards) = ended("refused-hook");
    assert!(status.success());
    assert_eq!((shards[0].len(), shards[1].len()), (EVENTS as usize, 1));
}

/// A panicking test does not exit with this code. The child has only the thread of the test.
#[test]
#[expect(unsafe_code, reason = "a child is forked")]
fn a_forked_child_does_not_wait_for_a_thread_of_its_parent() {
    const RIGHT: i32 = 5;
    let recorder = Arc::new(Recorder::create_new(Plain::new(1 << 16)).unwrap().0);
    let within = Within::start(recorder, Duration::from_secs(3600)).unwrap();
    // SAFETY: the child allocates nothing, and runs only the code below.
    let child = unsafe { libc::fork() };
    assert_ne!(child, -1, "{}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: the call has no preconditions. It kills a child that waits.
        unsafe { libc::alarm(30) };
        let longest = within.longest();
        drop(within);
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(if longest == Duration::MAX { RIGHT } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the child and the status belong to this test.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(ExitStatus::from_raw(status).code(), Some(RIGHT));
    assert!(within.finish().unwrap() < Duration::MAX);
}
