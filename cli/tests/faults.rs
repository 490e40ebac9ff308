//! Files that are cut, filled and replaced while a command uses them: the command reports it, and is not ended by SIGBUS.

// The handler of SIGBUS was not tried on others.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "faults/printed.rs"]
mod printed;

use assert_cmd::cargo;
use cachemaint_test_support::own_mount::with_small_tmpfs;
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
    let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
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
    let mut child = start(arguments, file);
    // A command that has failed reads no more.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
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

/// Closes the input of a command, and returns its error message. The exit code is 1.
#[track_caller]
fn refusal(mut child: Child, input: ChildStdin) -> String {
    drop(input);
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1), "{status}: {error}");
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
    // The log begins at offset 16384 (module `journal`, the format), in the fifth page of 4096 bytes.
    cut(&path, 16_384);
    drop(input.write_all(b"third\n"));
    let error = refusal(child, input);
    let begins =
        format!("cachemaint: {}: was cut to 16384 bytes while it was open; ", path.display());
    assert!(error.lines().last().unwrap().starts_with(&begins), "{error}");
    assert!(error.ends_with("; 1 record was appended, and record 2 was not\n"), "{error}");
    assert_eq!(positions.next().transpose().unwrap(), None, "the third is not acknowledged");
    // Every acknowledged record is in the bytes that the command had written.
    assert_ne!(whole, acknowledged);
    fs::write(&path, acknowledged).unwrap();
    assert_eq!(succeeds(&["journal", "read", "FILE"], &path, b""), "first\nsecond\n");
}

/// The recorder is beside the program, and its failure must not be the end of both.
#[test]
fn a_program_goes_on_though_the_file_of_its_recording_is_cut() {
    let directory = directory();
    let file = directory.path().join("events");
    for (code, expected) in [(0, 1), (3, 3)] {
        let lines = "echo one; : > \"$0\"; for i in $(seq 5000); do echo \"line $i\"; done";
        let script = format!("{lines}; echo end >&2; exit {code}");
        let path = file.to_str().unwrap();
        let output = run(&["record", "FILE", "--", "sh", "-c", &script, path], &file, b"");
        assert_eq!(output.status.code(), Some(expected), "{}", said(&output));
        let passed_on = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(passed_on.lines().count(), 5001);
        assert!(passed_on.ends_with("line 5000\n"));
        let said = said(&output);
        for report in ["no longer recorded: ", "recorded lines may not be persistent: "] {
            assert_eq!(said.matches(report).count(), 1, "{said}");
        }
        assert_eq!(said.matches("was cut").count(), 2, "{said}");
        assert!(said.contains("end\n"), "{said}");
        fs::remove_file(&file).unwrap();
    }
}

/// Copies a file without its zeros, which are holes in the copy.
fn copy_sparse(from: &Path, to: &Path) {
    let bytes = fs::read(from).unwrap();
    let copy = File::create(to).unwrap();
    copy.set_len(bytes.len() as u64).unwrap();
    for (page, at) in bytes.chunks(4096).zip((0..).step_by(4096)) {
        if page.iter().any(|byte| *byte != 0) {
            copy.write_all_at(page, at).unwrap();
        }
    }
}

/// Three files with holes on a file system that is full afterwards.
#[test]
fn a_hole_without_space_is_an_error_of_each_writer_and_loses_nothing() {
    let name = "a_hole_without_space_is_an_error_of_each_writer_and_loses_nothing";
    with_small_tmpfs(name, |mount| {
        let directory = directory();
        let whole = |name: &str| directory.path().join(name);
        succeeds(&["journal", "append", "FILE", "--create", "1M"], &whole("log"), b"first\n");
        succeeds(&["preserve", "save", "FILE", "old", "--create", "1M"], &whole("state"), b"old");
        succeeds(&["record", "FILE", "--create", "1M"], &whole("trace"), b"first\n");
        let file = |name: &str| mount.join(name);
        for name in ["log", "state", "trace"] {
            copy_sparse(&whole(name), &file(name));
        }
        let mut full = File::create(file("fills")).unwrap();
        while full.write_all(&[1; 4096]).is_ok() {}
        // Larger than the page that a file may have in part.
        let large = vec![b'x'; 100_000];
        let commands: [(_, &[&str]); 3] = [
            ("log", &["journal", "append", "FILE", "--whole"]),
            ("state", &["preserve", "save", "FILE", "new"]),
            ("trace", &["record", "FILE"]),
        ];
        for (name, command) in commands {
            let output = run(command, &file(name), &large);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {}", said(&output));
            let expected = format!(
                "cachemaint: {}: no space for 4096 bytes in a hole of the file; free some, ",
                file(name).display()
            );
            assert!(error.lines().last().unwrap().starts_with(&expected), "{command:?}: {error}");
        }
        // A mapping of a tmpfs takes space for a hole that is read, and a read by calls does not.
        assert!(succeeds(&["dump", "FILE"], &file("trace"), b"").contains(" first\n"));
        succeeds(&["stat", "FILE"], &file("trace"), b"");
        // Not removed: a process that another test starts may have a copy of the descriptor still.
        full.set_len(0).unwrap();
        assert_eq!(succeeds(&["journal", "read", "FILE"], &file("log"), b""), "first\n");
        succeeds(&["journal", "append", "FILE"], &file("log"), b"second\n");
        assert_eq!(succeeds(&["journal", "read", "FILE"], &file("log"), b""), "first\nsecond\n");
        fs::remove_file(file("log")).unwrap();
        assert_eq!(succeeds(&["preserve", "load", "FILE", "old"], &file("state"), b""), "old");
        succeeds(&["preserve", "save", "FILE", "new"], &file("state"), b"new");
        fs::remove_file(file("state")).unwrap();
        assert!(succeeds(&["dump", "FILE"], &file("trace"), b"").contains(" first\n"));
    });
}

/// A mapping of a tmpfs takes space for each page of a hole that is read. These files are larger than their file system.
#[test]
fn holes_take_no_space_in_commands_that_look_for_other_data() {
    with_small_tmpfs("holes_take_no_space_in_commands_that_look_for_other_data", |mount| {
        let file = mount.join("file");
        File::create(&file).unwrap().set_len(8 << 20).unwrap();
        let output = run(&["stat", "FILE"], &file, b"");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("nor a store: it begins with zeros"), "{}", said(&output));
        for at in [5 << 20, 7 << 20] {
            File::options().write(true).open(&file).unwrap().write_all_at(&[0], at).unwrap();
        }
        let command = ["preserve", "save", "FILE", "cpu", "--create", "8M"];
        succeeds(&command, &file, b"registers");
        assert_eq!(succeeds(&["preserve", "load", "FILE", "cpu"], &file, b""), "registers");
        File::create(&file).unwrap().set_len(8 << 20).unwrap();
        succeeds(&["journal", "append", "FILE", "--create", "8M"], &file, b"one\n");
        assert_eq!(succeeds(&["journal", "read", "FILE"], &file, b""), "one\n");
    });
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
    ("log", &["stat", "FILE"]),
    ("state", &["preserve", "list", "FILE"]),
    ("state", &["preserve", "verify", "FILE"]),
    ("state", &["preserve", "load", "FILE", "blob"]),
    ("state", &["preserve", "history", "FILE"]),
    ("state", &["preserve", "save", "FILE", "blob"]),
    ("state", &["preserve", "save", "FILE", "more", "--grow", "2M"]),
    ("state", &["preserve", "rm", "FILE", "more"]),
    ("state", &["preserve", "mv", "FILE", "more", "less"]),
    ("state", &["preserve", "seal", "FILE"]),
    ("state", &["stat", "FILE"]),
    ("trace", &["dump", "FILE"]),
    ("trace", &["dump", "FILE", "--json"]),
    ("trace", &["stat", "FILE"]),
    ("trace", &["record", "FILE"]),
    ("trace", &["record", "FILE", "--durability", "1ms"]),
    ("trace", &["writeback", "--page-cache", "FILE"]),
    ("trace", &["guard", "--page-cache", "--within", "1ms", "FILE", "STEADY"]),
    ("trace", &["inspect", "FILE"]),
];

/// The number of runs; `CACHEMAINT_FAULT_RUNS` asks for more.
const RUNS: usize = 135;

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

/// Runs a command, which must end by itself within ten minutes, with the code 0 or 1 and without a panic.
fn survives(command: &[&str], path: &Path) -> bool {
    let output = if command[0] == "guard" {
        guard_until_told(command, path)
    } else {
        let lines = (0..2000).flat_map(|line| format!("line {line}\n").into_bytes());
        let mut bounded = assert_cmd::Command::from_std(cachemaint(command, path));
        bounded.write_stdin(lines.collect::<Vec<u8>>());
        bounded.timeout(core::time::Duration::from_secs(600)).output().unwrap()
    };
    let error = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(code.is_some(), "{command:?}: {}", said(&output));
    assert!(matches!(code, Some(0 | 1)), "{command:?}: {}", said(&output));
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
    succeeds(&["preserve", "save", "FILE", "blob", "--create", "1M"], &path("state"), &lines);
    succeeds(&["record", "FILE", "--create", "256K"], &path("trace"), &lines);
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
    println!("{runs} runs: {succeeded} with exit code 0, {} with exit code 1", runs - succeeded);
}
