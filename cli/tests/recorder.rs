//! `cachemaint record`, `dump` and `stat` as a user runs them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
mod ignored;

#[path = "recorder/clocks.rs"]
mod clocks;
#[path = "recorder/names.rs"]
mod names;
#[path = "recorder/overtaken.rs"]
mod overtaken;

mod printed;
mod refused;
#[cfg(target_os = "linux")]
#[path = "recorder/signals.rs"]
mod signals;
#[cfg(unix)]
#[path = "recorder/streams.rs"]
mod streams;

use assert_cmd::assert::Assert;
use assert_cmd::{Command, cargo};
use printed::{stderr, stdout};
use refused::is_refused;
use serde_json::{Value, json};
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

/// A directory for a recording.
struct Place {
    path: PathBuf,
    _directory: TempDir,
}

impl Place {
    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { path: directory.path().join("trace"), _directory: directory }
    }

    /// `cachemaint COMMAND FILE …`
    fn run(&self, arguments: &[&str]) -> Assert {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: impl Into<Vec<u8>>) -> Assert {
        let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
        command.arg(arguments[0]).arg(&self.path).args(&arguments[1..]);
        command.write_stdin(input).assert()
    }

    /// The lines of `dump --json`.
    fn events(&self) -> Vec<Value> {
        let text = stdout(&self.run(&["dump", "--json"]));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The events' ids and texts, in the order of time.
    fn texts(&self) -> Vec<(u64, String)> {
        let events = self.events().into_iter().filter(|event| event["id"].is_u64());
        let text = |event: Value| event["text"].as_str().unwrap().to_owned();
        events.map(|event| (event["id"].as_u64().unwrap(), text(event))).collect()
    }

    fn stat(&self) -> Value {
        serde_json::from_str(&stdout(&self.run(&["stat", "--json"]))).unwrap()
    }
}

fn now() -> jiff::Timestamp {
    let since_1970 = UNIX_EPOCH.elapsed().unwrap().as_nanos();
    jiff::Timestamp::from_nanosecond(since_1970.try_into().unwrap()).unwrap()
}

#[test]
fn lines_become_events_with_the_time_at_which_they_came() {
    let place = Place::empty();
    let second = jiff::SignedDuration::from_secs(1);
    let mut last = now() - second;
    place.run_with(&["record"], "one\n\nthree \x1b[2J").success();
    let end = now() + second;
    let texts = place.texts();
    let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["one", "", "three \u{1b}[2J"]);
    for event in &place.events() {
        assert_eq!((&event["id"], &event["shard"]), (&json!(0), &json!(0)));
        let time: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        assert!(last <= time && time <= end, "{event}");
        last = time;
    }
    let text = stdout(&place.run(&["dump"]).success());
    assert!(text.lines().nth(2).unwrap().ends_with(" three \\u{1b}[2J"), "{text:?}");
}

#[test]
fn a_program_is_recorded_and_passed_on() {
    let place = Place::empty();
    let script = "echo out; echo err >&2; printf 'unfinished \\377'; exit 7";
    let ran =
        place.run(&["record", "--durability", "each-append", "--", "sh", "-c", script]).code(7);
    assert_eq!(ran.get_output().stdout, b"out\nunfinished \xff");
    assert!(stderr(&ran).ends_with("\nerr\n"), "{}", stderr(&ran));
    let events = place.events();
    let of = |id: u64| events.iter().filter(move |event| event["id"] == id);
    assert_eq!(of(1).next().unwrap()["text"], "out");
    assert_eq!(of(1).nth(1).unwrap()["hex"], "756e66696e697368656420ff");
    assert_eq!(of(2).next().unwrap()["text"], "err");
    assert_eq!(events.len(), 3);

    place.run(&["record", "--", "sh", "-c", "kill -9 $$"]).code(137);
    let error = stderr(&place.run(&["record", "--", "/no/such/program"]).code(127));
    assert!(error.contains("/no/such/program cannot be started"), "{error}");
}

#[test]
fn recording_goes_on_where_it_has_ended_and_the_oldest_is_overwritten() {
    let place = Place::empty();
    place.run_with(&["record", "--create", "64K"], "first\n").success();
    place.run_with(&["record", "--durability", "10ms"], "second\n").success();
    assert_eq!(place.texts(), [(0, "first".to_owned()), (0, "second".to_owned())]);
    assert_eq!(place.stat()["openings"], 2);

    let many: Vec<String> = (0..20_000).map(|number| format!("line {number}\n")).collect();
    place.run_with(&["record", "--durability", "sub-buffer"], many.concat()).success();
    let texts = place.texts();
    let kept: Vec<String> = texts.iter().map(|(_, text)| format!("{text}\n")).collect();
    assert!(kept.len() > 100 && kept.len() < many.len(), "{}", kept.len());
    assert!(many.ends_with(&kept), "the last ones, and no gap: {kept:?}");
    let stat = place.stat();
    assert_eq!(stat["shards"][0]["events"], kept.len());
    assert!(stat["shards"][0]["laps"].as_u64().unwrap() > 0, "{stat}");
    assert_eq!(stat["shards"][0]["lost"], 0);
    assert_eq!(stat["shards"][1]["events"], 0);
}

/// A sub-buffer of 4096 bytes has a header of 64, and a record one of 24 (module `recorder`, the format).
#[test]
fn a_line_that_is_too_long_is_split() {
    let place = Place::empty();
    let most = 4096 - 64 - 24;
    let lines = format!("{}\n{}y\nnext\n", "x".repeat(most), "x".repeat(most));
    place.run_with(&["record"], lines).success();
    let lengths: Vec<usize> = place.texts().iter().map(|(_, text)| text.len()).collect();
    assert_eq!(lengths, [most, most, 1, 4]);
}

/// Events recorded before a kill are there, with any durability.
#[test]
fn recorded_events_survive_a_kill() {
    let place = Place::empty();
    let mut child = Process::new(cargo::cargo_bin!("cachemaint"))
        .arg("record")
        .arg(&place.path)
        .args(["--", "sh", "-c", "echo ready; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A line is passed on when it has been recorded.
    let mut passed_on = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut passed_on).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.texts(), [(1, "ready".to_owned())]);
    assert_eq!(place.stat()["shards"][0]["damaged"], 0);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_recording_with_everything_written_back() {
    use std::io::Write as _;

    let place = Place::empty();
    let mut child = Process::new(cargo::cargo_bin!("cachemaint"))
        .arg("record")
        .arg(&place.path)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    // Interrupts are handled before the first line is read. Until then there may be no recording to dump.
    while place.texts().is_empty() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(place.texts(), [(0, "one".to_owned())]);
}

/// A line that comes while everything is written back does not fail the command.
#[cfg(unix)]
#[test]
fn an_interrupt_in_the_middle_of_the_input_ends_recording_too() {
    for _ in 0..8 {
        let place = Place::empty();
        let mut child = Process::new(cargo::cargo_bin!("cachemaint"))
            .args(["record", "--create", "256K"])
            .arg(&place.path)
            .stdin(fs::File::open("/dev/zero").unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while place.texts().is_empty() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn damage_is_shown_and_the_rest_is_read() {
    let place = Place::empty();
    let lines: Vec<String> = (0..10).map(|number| format!("line {number}\n")).collect();
    place.run_with(&["record", "--create", "64K"], lines.concat()).success();
    let mut bytes = fs::read(&place.path).unwrap();
    let at = bytes.windows(6).position(|window| window == b"line 4").unwrap();
    bytes[at] ^= 1;
    fs::write(&place.path, &bytes).unwrap();

    let dumped = stdout(&place.run(&["dump"]).code(1));
    assert_eq!(dumped.lines().filter(|line| line.contains(" line ")).count(), 9);
    assert!(dumped.contains("[shard 0: up to 32 bytes at "), "{dumped}");
    let events = place.events();
    assert_eq!(events[4]["skipped"]["kind"], "damaged");
    assert_eq!(events[4]["skipped"]["at"], at - 24);
    assert_eq!(events[5]["text"], "line 5");
    let stat = stdout(&place.run(&["stat"]).code(1));
    assert!(stat.contains("32 bytes damaged"), "{stat}");
    assert_eq!(fs::read(&place.path).unwrap(), bytes, "only read");
}

/// As in `cachemaint dump --json FILE | tail -1`.
#[test]
fn the_last_line_of_json_is_the_last_event_though_others_were_lost_after_it() {
    let place = Place::empty();
    place.run_with(&["record", "--create", "64K"], "one\ntwo\n").success();
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let file = options.open(&place.path).unwrap();
    let recorder = cachemaint_recorder::Recorder::open(file).unwrap().0;
    recorder.claim().unwrap().record(3, &[0; 1 << 13]).unwrap_err();
    let events = place.events();
    let texts: Vec<_> = events.iter().map(|event| event["text"].as_str()).collect();
    assert_eq!(texts, [Some("one"), None, Some("two")]);
    assert_eq!(events[1], json!({"lost": {"shard": 0, "events": 1}}));
    let text = stdout(&place.run(&["dump"]).success());
    assert!(text.ends_with(" two\n[shard 0: 1 events were lost]\n"), "{text}");
}

#[test]
fn unknown_and_truncated_files_are_refused() {
    for (content, expected) in [
        (vec![b'x'; 65_536], "begins with xxxxxxxx"),
        (vec![0; 65_536], "nor a store: it begins with zeros"),
        (b"short".to_vec(), "begins with short"),
        (Vec::new(), "has no bytes to map"),
    ] {
        let place = Place::empty();
        let run = |command: &[&str]| place.run(command);
        is_refused(&place.path, &content, expected, &[&["stat"]], run);
        is_refused(&place.path, &content, "", &[&["dump"]], run);
        // Only a file of zeros may be recorded into.
        if content.first() != Some(&0) {
            is_refused(&place.path, &content, "", &[&["record"]], run);
        }
    }
    let place = Place::empty();
    place.run_with(&["record", "--create", "64K"], "one\n").success();
    fs::write(&place.path, &fs::read(&place.path).unwrap()[..20_000]).unwrap();
    for command in ["stat", "dump", "record"] {
        let error = stderr(&place.run(&[command]).code(1));
        assert!(error.contains("bytes, but only 20000 are there"), "{command}: {error}");
    }
}

#[test]
fn a_recording_that_cannot_be_made_leaves_nothing_behind() {
    let place = Place::empty();
    place.run(&["record", "--create", "4K"]).code(1);
    place.run(&["record", "--durability", "never"]).code(2);
    place.run(&["dump"]).code(1);
    assert!(!place.path.exists());
    place.run_with(&["record"], "one\n").success();
    // An existing file keeps its size, and its recording.
    place.run_with(&["record", "--create", "64K"], "two\n").success();
    assert_eq!(place.texts(), [(0, "one".to_owned()), (0, "two".to_owned())]);
    assert_eq!(fs::metadata(&place.path).unwrap().len(), 1 << 20);
}

/// A crash between the creation of the file and that of the recording leaves zeros; one in the middle of the latter, roots
/// without their magics.
#[test]
fn a_file_that_a_crash_has_left_without_a_recording_is_recorded_into() {
    let place = Place::empty();
    let zeros = vec![0; 1 << 16];
    place.run(&["record", "--create", "64K"]).success();
    let mut torn = fs::read(&place.path).unwrap();
    for root in [4096, 12288] {
        torn[root..root + 8].fill(0);
    }
    for content in [&zeros, &torn] {
        for arguments in [&["record"][..], &["record", "--create", "64K"]] {
            fs::write(&place.path, content).unwrap();
            place.run_with(arguments, "one\n").success();
            assert_eq!(place.texts(), [(0, "one".to_owned())]);
        }
        fs::write(&place.path, content).unwrap();
        let error = stderr(&place.run(&["record", "--create", "1M"]).code(1));
        assert!(error.contains("exists already, with 65536 bytes, not 1048576;"), "{error}");
    }
}

/// Not every file that begins with zeros is unused: an ext4 file system does, for example.
#[test]
fn data_behind_zeros_are_not_recorded_over() {
    for at in [200, 5000, 65_535] {
        let place = Place::empty();
        let mut content = vec![0; 65_536];
        content[at] = 1;
        let run = |command: &[&str]| place.run(command);
        let refusal = "the file has other data than a recording";
        is_refused(
            &place.path,
            &content,
            refusal,
            &[&["record"], &["record", "--create", "64K"]],
            run,
        );
    }
}

#[test]
fn one_process_records_into_a_file_and_others_read_it() {
    let place = Place::empty();
    place.run_with(&["record"], "one\n").success();
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let file = options.open(&place.path).unwrap();
    let recorder = cachemaint_recorder::Recorder::open(file).unwrap().0;
    recorder.claim().unwrap().record(77, b"two").unwrap();
    let error = stderr(&place.run(&["record"]).code(1));
    assert!(error.contains("trace: is locked by another open file"), "{error}");
    assert_eq!(place.texts(), [(0, "one".to_owned()), (77, "two".to_owned())]);
}

/// The file of the first one can appear at any moment of the start of the other.
#[test]
fn of_two_that_start_at_once_the_loser_records_later_or_finds_the_lock() {
    for _ in 0..20 {
        let place = Place::empty();
        let mut command = Process::new(cargo::cargo_bin!("cachemaint"));
        command.arg("record").arg(&place.path).stdin(Stdio::null()).stderr(Stdio::piped());
        let both = [(); 2].map(|()| command.spawn().unwrap());
        let both = both.map(|child| child.wait_with_output().unwrap());
        assert!(both.iter().any(|output| output.status.success()));
        for output in both {
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() || error.contains(": is locked by"), "{error}");
        }
    }
}

/// Records of 3 bytes take 16 of header and 8 of payload, and a mark 64.
#[test]
fn a_journal_is_recognized_by_its_magic() {
    let place = Place::empty();
    Command::new(cargo::cargo_bin!("cachemaint"))
        .args(["journal", "append"])
        .arg(&place.path)
        .args(["--create", "64K", "--record", "one", "--record", "two"])
        .assert()
        .success();
    let stat = place.stat();
    assert_eq!(stat["kind"], "journal");
    assert_eq!(stat["used"], 64 + 2 * 24);
    assert_eq!(stat["recovered"]["records"], 2);
    // Of 48 KiB behind the roots, segments are as large as sixteen of them fit, powers of two.
    assert_eq!(stat["capacity"], 24 * 2048);
    let text = stdout(&place.run(&["stat"]).success());
    assert!(text.contains("\nused        112 of 49,152 bytes (0 %)\n"), "{text}");
    let error = stderr(&place.run(&["dump"]).code(1));
    assert!(error.contains("trace: the medium has a journal instead of a recording"), "{error}");
}

#[test]
fn the_message_of_a_panic_is_named() {
    let place = Place::empty();
    place.run(&["record"]).success();
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let recorder =
        cachemaint_recorder::Recorder::open(options.open(&place.path).unwrap()).unwrap().0;
    recorder.claim().unwrap().record(65_535, b"src/main.rs:7:5: the valve is shut").unwrap();
    drop(recorder);
    let text = stdout(&place.run(&["dump"]).success());
    assert!(text.ends_with(" panic src/main.rs:7:5: the valve is shut\n"), "{text}");
    assert_eq!(place.events()[0]["id"], 65_535);
}
