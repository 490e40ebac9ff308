//! The standard streams and the arguments of every command.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod redirected;
mod unread;

use assert_cmd::assert::Assert;
use assert_cmd::cargo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use std::fs::File;
use std::io::{self, pipe};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// More than a pipe holds.
const LINES: usize = 16_384;

/// Redirections that leave a command without a standard input: closed, open for writing only as by `nohup`, and as the
/// standard library opens a closed one.
const NO_INPUT: [&str; 3] = ["<&-", "0>/dev/null", "0<>/dev/null"];

/// Commands that print, with standard input empty.
const PRINTING: [&[&str]; 12] = [
    &["caps"],
    &["caps", "--json"],
    &["inspect", "."],
    &["journal", "read", "log"],
    &["journal", "verify", "log"],
    &["journal", "append", "log", "--positions", "--record", "x"],
    &["preserve", "load", "state", "blob"],
    &["preserve", "list", "state"],
    &["preserve", "save", "state", "other"],
    &["dump", "trace"],
    &["stat", "trace"],
    &["record", "trace", "--", "yes"],
];

/// A directory with a journal, a store and a recording, each of many lines.
fn place() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let create: [&[&str]; 3] = [
        &["journal", "append", "log", "--create", "4M"],
        &["preserve", "save", "state", "blob", "--create", "4M"],
        &["record", "trace", "--create", "4M"],
    ];
    for arguments in create {
        let mut command = assert_cmd::Command::from_std(command(directory.path(), arguments));
        command.write_stdin("line\n".repeat(LINES)).assert().success();
    }
    directory
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    command
}

fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// As in `cachemaint caps | head -1`, with a reader that is gone before the first byte.
#[test]
fn a_closed_output_pipe_ends_a_command_as_sigpipe_does() {
    let place = place();
    for arguments in PRINTING {
        let output = command(place.path(), arguments).stdout(unread::pipe().unwrap()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!error.contains("pipe"), "{arguments:?}: {error}");
    }
}

/// A full disk is an error, unlike a reader that has read enough. A recording goes on without its output.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_fails() {
    let place = place();
    for arguments in PRINTING.into_iter().filter(|arguments| arguments[0] != "record") {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(place.path(), arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("cachemaint: ") && error.contains("No space left"), "{error}");
    }
}

/// A file system, or another process, can have made the pipe so.
#[test]
fn everything_is_printed_into_a_full_pipe_that_does_not_block() {
    let place = place();
    for arguments in [&["journal", "read", "log"][..], &["preserve", "load", "state", "blob"]] {
        let (from, to) = pipe().unwrap();
        fcntl_setfl(&to, OFlags::NONBLOCK).unwrap();
        let mut printing = command(place.path(), arguments);
        let mut child = printing.stdout(to.try_clone().unwrap()).spawn().unwrap();
        drop(printing);
        let has_space =
            || poll(&mut [PollFd::new(&to, PollFlags::OUT)], Some(&Timespec::default())).unwrap();
        while has_space() == 1 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        drop(to);
        assert_eq!(io::read_to_string(from).unwrap().lines().count(), LINES, "{arguments:?}");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_missing_standard_input_is_not_an_empty_one() {
    let place = place();
    let reading: [&[&str]; 4] = [
        &["journal", "append", "log"],
        &["preserve", "save", "state", "blob"],
        &["record", "trace"],
        &["preserve", "save", "new", "blob", "--create", "1M"],
    ];
    for arguments in reading {
        for redirection in NO_INPUT {
            let refused = redirected::run(&command(place.path(), arguments), redirection).code(1);
            let error = stderr(&refused);
            let expected = "standard input cannot be read: it is ";
            assert!(error.contains(expected), "{arguments:?} {redirection}: {error}");
        }
        let is_created = place.path().join("new").exists();
        assert!(!is_created, "{arguments:?}");
        redirected::run(&command(place.path(), arguments), "</dev/null").success();
    }
    redirected::run(&command(place.path(), &["journal", "append", "log", "--record", "x"]), "<&-")
        .success();
}

/// A blob must not be lost on its way. A program's output is recorded, and may be dropped.
#[test]
fn a_missing_standard_output_fails_a_load_and_not_a_recording() {
    let place = place();
    let load = command(place.path(), &["preserve", "load", "state", "blob"]);
    let record = command(place.path(), &["record", "trace", "--", "echo", "one"]);
    for redirection in [">&-", "1<>/dev/null"] {
        let error = stderr(&redirected::run(&load, redirection).code(1));
        let expected = "standard output cannot be written: it is ";
        assert!(error.contains(expected), "{redirection}: {error}");
        let error = stderr(&redirected::run(&record, redirection).success());
        assert!(!error.contains("passed on"), "{redirection}: {error}");
    }
    for reading in [load, record] {
        redirected::run(&reading, "1</dev/null").code(1);
        redirected::run(&reading, ">/dev/null").success();
    }
}

/// Several commands can have one standard error, as in a unit of systemd. Each call is a datagram here.
#[test]
fn a_message_is_written_by_one_call() {
    let (messages, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut command = command(Path::new("."), &["stat", "no such file"]);
    command.stderr(std::os::fd::OwnedFd::from(theirs));
    assert_eq!(command.status().unwrap().code(), Some(1));
    messages.set_nonblocking(true).unwrap();
    let mut message = [0; 1024];
    let len = messages.recv(&mut message).unwrap();
    let message = str::from_utf8(&message[..len]).unwrap();
    assert!(message.starts_with("cachemaint: no such file: "), "{message}");
    assert!(message.ends_with('\n'), "{message}");
    assert_eq!(messages.recv(&mut [0; 1024]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// As on a machine whose disk of logs is full.
#[cfg(target_os = "linux")]
#[test]
fn a_standard_error_that_cannot_be_written_changes_no_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = command(directory.path(), arguments);
        command.stdout(Stdio::null()).stderr(full).status().unwrap().code()
    };
    assert_eq!(run(&["journal", "append", "j", "--create", "64K", "--record", "a"]), Some(0));
    assert_eq!(run(&["record", "r", "--", "sh", "-c", "exit 3"]), Some(3));
    assert_eq!(run(&["preserve", "list", "missing"]), Some(1));
}

/// As of `cachemaint stat *`. The environment variable has the escapes of a terminal printed into a pipe.
#[test]
fn a_refused_argument_is_printed_without_characters_that_a_terminal_executes() {
    let mut command = command(Path::new("."), &["stat", "a", "b\u{1b}]0;owned\u{7}\u{9b}2J"]);
    let output = command.env("CLICOLOR_FORCE", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("b?]0;owned??2J"), "{error:?}");
    assert!(!error.contains(['\u{7}', '\u{9b}']), "{error:?}");
}

/// The same argument with U+FFFD in its place is valid.
#[test]
fn an_argument_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;

    let mut command = command(Path::new("."), &["preserve", "load", "/no such store"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("invalid UTF-8"), "{output:?}");
}
