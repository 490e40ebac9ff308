//! Processes that end while they record, and what the next process reads.

use super::plain::{Recorded, clock, shown};
use cachemaint::dax::{self, DaxFile};
use cachemaint_recorder::{Durability, Identity, Options, Reader, Recorder, Within};
use cachemaint_test_support::plain::Plain;
use cachemaint_test_support::skip::skip;
use rustix::process::{Signal, getpid, kill_process};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};
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

/// The child records events, and ends as the environment variable says.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn child() {
    let (Ok(end), Some(path)) = (std::env::var(END), std::env::var_os(FILE)) else { return };
    let options = Options::with_clock(Identity([9; 16]), clock()).durability(Durability::OnRequest);
    let (recorder, _) = options.shards(2).create_new(file(Path::new(&path))).unwrap();
    let recorder: &'static Recorder<_> = Box::leak(Box::new(recorder));
    let writer = recorder.claim().unwrap();
    keep_panics(recorder).unwrap();
    (0..EVENTS).for_each(|number| writer.record_at(number, 1, &number.to_le_bytes()).unwrap());
    if end == "panic" {
        let caught = std::panic::catch_unwind(|| panic!("as the test asks"));
        assert!(caught.is_err() && writer.record_at(99, 1, b"too late").is_err());
        std::process::exit(3);
    }
    loop {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}

/// Records the message of a panic as the last event. `docs/recorder.md` shows this function.
fn keep_panics(
    recorder: &'static Recorder<'static, DaxFile>,
) -> Result<(), cachemaint_recorder::Error<dax::Error>> {
    let last = Mutex::new(recorder.claim()?); // a shard of its own
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if let Ok(writer) = last.try_lock() {
            drop(writer.record(2, info.to_string().as_bytes()));
        }
        recorder.stop(); // other threads' next events are refused
        drop(recorder.write_back_all()); // the process is ending: a failure cannot be reported
        before(info);
    }));
    Ok(())
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

#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn events_outlive_their_process_and_the_last_one_is_the_message_of_a_panic() {
    if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
        let reason = "user-mode emulation does not run this program from within itself";
        return skip(
            "events_outlive_their_process_and_the_last_one_is_the_message_of_a_panic",
            reason,
        );
    }
    for (how, ended_by) in [("kill", (None, Some(libc::SIGKILL))), ("panic", (Some(3), None))] {
        let (status, shards) = ended(how);
        assert_eq!((status.code(), status.signal()), ended_by, "{status:?}");
        let times: Vec<_> = shards[0].iter().map(|event| event.timestamp).collect();
        assert_eq!(times, (0..EVENTS).collect::<Vec<_>>());
        let messages = shards[1].iter().map(|event| str::from_utf8(&event.payload).unwrap());
        let messages: Vec<_> = messages.collect();
        let is_told = |message: &str| {
            message.contains("tests/recorder/processes.rs:")
                && message.ends_with("as the test asks")
        };
        assert_eq!(messages.len(), usize::from(how == "panic"));
        assert!(messages.into_iter().all(is_told));
    }
}

/// A panicking test does not exit with this code. The child has only the thread of the test.
#[test]
#[expect(unsafe_code, reason = "a child is forked")]
fn a_forked_child_does_not_wait_for_a_thread_of_its_parent() {
    const RIGHT: i32 = 5;
    let recorder = Arc::new(Recorder::create_new(Plain::zeros(1 << 16)).unwrap().0);
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
