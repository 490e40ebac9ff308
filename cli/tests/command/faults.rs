//! Files that are cut, filled and replaced while a command uses them: the command reports it, and is not ended by SIGBUS.

use crate::ended;
use cachemaint::dax;
use cachemaint_recorder::{self, Found, Options};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tempfile::TempDir;

fn cachemaint(arguments: &[&str], file: &Path) -> Command {
    let mut command = crate::cachemaint();
    for argument in arguments {
        match *argument {
            "FILE" => command.arg(file),
            "STEADY" => command.arg(file.with_file_name(STEADY)),
            other => command.arg(other),
        };
    }
    command
}

fn run(arguments: &[&str], file: &Path, input: &[u8]) -> Output {
    ended(start(arguments, file), input).0
}

fn start(arguments: &[&str], file: &Path) -> Child {
    let pipes = || Stdio::piped();
    cachemaint(arguments, file).stdin(pipes()).stdout(pipes()).stderr(pipes()).spawn().unwrap()
}

fn succeeds(arguments: &[&str], file: &Path, input: &[u8]) -> String {
    let output = run(arguments, file, input);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))
}

/// In memory if there is such a place.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn cut(path: &Path, len: u64) {
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Closes the input of a command, and returns its error message. The exit code is 3.
#[track_caller]
fn refusal(mut child: Child, input: ChildStdin) -> String {
    drop(input);
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(3), "{status}: {error}");
    error
}

#[test]
fn append_to_a_journal_that_is_cut_names_the_offset_and_the_last_record() {
    let directory = directory();
    let path = directory.path().join("log");
    succeeds(&["journal", "append", "FILE", "--create", "1M"], &path, b"first\n");
    let whole = fs::read(&path).unwrap();
    let mut child = start(&["journal", "append", "FILE", "--positions"], &path);
    let mut input = child.stdin.take().unwrap();
    let mut positions = BufReader::new(child.stdout.take().unwrap()).lines();
    input.write_all(b"second\n").unwrap();
    positions.next().unwrap().unwrap();
    let acknowledged = fs::read(&path).unwrap();
    // The log begins at offset 20480 (crate `cachemaint-journal`, the format), in the sixth page of 4096 bytes.
    cut(&path, 20_480);
    drop(input.write_all(b"third\n"));
    let error = refusal(child, input);
    let begins =
        format!("cachemaint: {}: was truncated to 20480 bytes while it was open; ", path.display());
    assert!(error.lines().last().unwrap().starts_with(&begins), "{error}");
    assert!(error.ends_with("; 1 record was appended, and record 2 was not\n"), "{error}");
    assert_eq!(positions.next().transpose().unwrap(), None, "the third is not acknowledged");
    // Every acknowledged record is in the bytes that the command had written.
    assert_ne!(whole, acknowledged);
    fs::write(&path, acknowledged).unwrap();
    assert_eq!(succeeds(&["journal", "read", "FILE"], &path, b""), "first\nsecond\n");
}

/// A sequence of numbers that look random (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Changes a file as no user of it may.
fn trouble(path: &Path, whole: &[u8], numbers: &mut Numbers) {
    let len = whole.len() as u64;
    let Ok(file) = File::options().write(true).open(path) else {
        fs::write(path, whole).unwrap();
        return;
    };
    match numbers.below(8) {
        0 => file.set_len(0).unwrap(),
        1 => file.set_len(numbers.below(len)).unwrap(),
        2 => file.set_len(numbers.below(8) * 4096).unwrap(),
        3 => file.set_len(len).unwrap(),
        4 => file.set_len(numbers.below(8 * len)).unwrap(),
        5 => {
            let at = numbers.below(len);
            let byte = numbers.below(256).to_le_bytes()[0];
            file.write_all_at(&vec![byte; 5000], at).unwrap();
        }
        6 => file.write_all_at(whole, 0).unwrap(),
        _ => {
            let other = path.with_extension("other");
            fs::write(&other, whole).unwrap();
            fs::rename(&other, path).unwrap();
        }
    }
}

const COMMANDS: &[(&str, &[&str])] = &[
    ("log", &["journal", "verify", "FILE"]),
    ("log", &["journal", "salvage", "FILE"]),
    ("log", &["journal", "read", "FILE"]),
    ("log", &["journal", "salvage", "FILE", "--raw"]),
    ("log", &["journal", "append", "FILE"]),
    ("log", &["journal", "append", "FILE", "--positions"]),
    ("log", &["journal", "trim", "FILE", "--to", "0"]),
    ("log", &["inspect", "FILE"]),
    ("state", &["store", "list", "FILE"]),
    ("state", &["store", "verify", "FILE"]),
    ("state", &["store", "load", "FILE", "blob"]),
    ("state", &["store", "save", "FILE", "blob"]),
    ("state", &["store", "save", "FILE", "more", "--grow", "2M"]),
    ("state", &["store", "remove", "FILE", "more"]),
    ("state", &["store", "seal", "FILE"]),
    ("state", &["inspect", "FILE"]),
    ("trace", &["recording", "print", "FILE"]),
    ("trace", &["recording", "print", "FILE", "--json"]),
    ("trace", &["recording", "write", "FILE"]),
    ("trace", &["recording", "write", "FILE", "--durability", "1ms"]),
    ("trace", &["guard", "--once", "--page-cache", "FILE"]),
    ("trace", &["guard", "--page-cache", "--within", "1ms", "FILE", "STEADY"]),
    ("trace", &["inspect", "FILE"]),
];

/// The number of runs; `CACHEMAINT_FAULT_RUNS` asks for more.
const RUNS: usize = 75;

/// The name of a file that is not changed, beside the others.
const STEADY: &str = "steady";

/// Runs a guard until it has looked at one of the two files, and ends it by SIGTERM. It makes a last pass then.
fn guard_until_told(command: &[&str], path: &Path) -> Output {
    let mut child = start(command, path);
    let numbers = format!("/proc/{}/fd", child.id());
    let steady = path.with_file_name(STEADY);
    let is_open = || {
        let mut open = fs::read_dir(&numbers).into_iter().flatten().flatten();
        open.any(|number| {
            fs::read_link(number.path()).is_ok_and(|name| name == path || name == steady)
        })
    };
    while child.try_wait().unwrap().is_none() {
        if is_open() {
            kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
            break;
        }
        thread::yield_now();
    }
    child.wait_with_output().unwrap()
}

/// Runs a command, which must end by itself, with the code 0, 1 or 3 and without a panic.
fn survives(command: &[&str], path: &Path) -> bool {
    let output = if command[..2] == ["guard", "--page-cache"] {
        guard_until_told(command, path)
    } else {
        let lines = (0..2000).flat_map(|line| format!("line {line}\n").into_bytes());
        run(command, path, &lines.collect::<Vec<u8>>())
    };
    let error = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(code.is_some(), "{command:?}: {}", said(&output));
    assert!(matches!(code, Some(0 | 1 | 3)), "{command:?}: {}", said(&output));
    assert!(!error.contains("panicked"), "{command:?}: {error}");
    code == Some(0)
}

/// Ends the trouble when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_command_dies_of_a_file_that_changes_under_it() {
    let runs = std::env::var("CACHEMAINT_FAULT_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let lines: Vec<u8> = (0..500).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
    succeeds(&["journal", "append", "FILE", "--create", "256K"], &path("log"), &lines);
    succeeds(&["store", "save", "FILE", "blob", "--create", "1M"], &path("state"), &lines);
    succeeds(&["recording", "write", "FILE", "--create", "256K"], &path("trace"), &lines);
    fs::write(path(STEADY), &lines).unwrap();
    let files: Vec<(PathBuf, Vec<u8>)> = ["log", "state", "trace"]
        .into_iter()
        .map(|name| (path(name), fs::read(path(name)).unwrap()))
        .collect();
    let is_over = AtomicBool::new(false);
    let mut succeeded = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut numbers = Numbers(1);
            while !is_over.load(Ordering::Relaxed) {
                for (path, whole) in &files {
                    trouble(path, whole, &mut numbers);
                }
            }
        });
        // Ends the trouble also if a command does not survive.
        let _over = Over(&is_over);
        let commands = COMMANDS.iter().cycle().take(runs);
        succeeded = commands.filter(|(file, command)| survives(command, &path(file))).count();
    });
    println!("{runs} runs: {succeeded} with exit code 0, {} with another", runs - succeeded);
}

/// More than a pipe holds, in pages of each size.
const CUT: u64 = 2 << 20;

const BYTES: u64 = 4 << 20;

/// The file is cut when the first line is there. The pipe is full then, long before the cut.
#[test]
fn a_print_of_a_file_that_is_cut_has_all_events_before_the_cut() {
    let directory = directory();
    let path = directory.path().join("trace");
    let file = dax::Options::new().allow_page_granularity().create_new(&path, BYTES).unwrap();
    let recorder = Options::new().create_new(&file).unwrap().0;
    let writer = recorder.claim().unwrap();
    let text = |number| format!("event number {number:10}");
    // An event takes 48 bytes: 24, and 23 of payload with one of padding. These are events of one lap.
    for number in 0..BYTES / 64 {
        writer.record(1, text(number).as_bytes()).unwrap();
    }
    let reader = cachemaint_recorder::Reader::open(&file).unwrap();
    let (mut buffer, mut before) = (vec![0; reader.largest_payload()], 0);
    let mut events = reader.events();
    while let Some(found) = events.read_next(&mut buffer).unwrap() {
        let Found::Event(event) = found else { panic!("{found:?}") };
        before += u64::from(event.at + 48 <= CUT);
    }
    let mut child = start(&["recording", "print", "FILE"], &path);
    let input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    output.read_line(&mut printed).unwrap();
    cut(&path, CUT);
    output.read_to_string(&mut printed).unwrap();
    let error = refusal(child, input);
    assert!(printed.lines().zip(0..).all(|(line, number)| line.ends_with(&text(number))));
    assert_eq!(printed.lines().count() as u64, before, "{error}");
    let begins = format!("cachemaint: {}: was truncated to {CUT} bytes while it", path.display());
    assert!(error.starts_with(&begins), "{error}");
}
