//! The destination of the output of every command.

mod unread;

use std::process::{Command, Output, Stdio};

const COMMANDS: [&[&str]; 4] =
    [&["caps"], &["caps", "--json"], &["inspect", "."], &["inspect", ".", "--json"]];

fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> std::io::Result<Output> {
    Command::new(assert_cmd::cargo::cargo_bin!("cachemaint"))
        .args(arguments)
        .stdout(stdout)
        .output()
}

/// As in `cachemaint caps | head -1`, with a reader that is gone before the first byte.
#[test]
fn a_closed_output_pipe_ends_a_command_as_sigpipe_does() {
    for arguments in COMMANDS {
        let output = run(arguments, unread::pipe().unwrap()).unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

/// A full disk is an error, unlike a reader that has read enough.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_fails() {
    for arguments in COMMANDS {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = run(arguments, full).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.starts_with("cachemaint: "), "{message}");
        assert!(message.contains("No space left"), "{message}");
    }
}

/// Several commands can have one standard error, as in a unit of systemd. Each call is a datagram here.
#[cfg(unix)]
#[test]
fn a_message_is_written_by_one_call() {
    let (messages, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cachemaint"));
    command.args(["stat", "no such file"]).stderr(std::os::fd::OwnedFd::from(theirs));
    assert_eq!(command.status().unwrap().code(), Some(1));
    messages.set_nonblocking(true).unwrap();
    let mut message = [0; 1024];
    let len = messages.recv(&mut message).unwrap();
    let message = str::from_utf8(&message[..len]).unwrap();
    assert!(message.starts_with("cachemaint: no such file: "), "{message}");
    assert!(message.ends_with('\n'), "{message}");
    assert_eq!(messages.recv(&mut [0; 1024]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// As on a machine whose disk of logs is full.
#[cfg(target_os = "linux")]
#[test]
fn a_standard_error_that_cannot_be_written_changes_no_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cachemaint"));
        command.current_dir(&directory).args(arguments).stdout(Stdio::null()).stderr(full);
        command.status().unwrap().code()
    };
    assert_eq!(run(&["journal", "append", "j", "--create", "64K", "--record", "a"]), Some(0));
    assert_eq!(run(&["record", "r", "--", "sh", "-c", "exit 3"]), Some(3));
    assert_eq!(run(&["preserve", "list", "missing"]), Some(1));
}

/// As of `cachemaint stat *`. The environment variable has the escapes of a terminal printed into a pipe.
#[cfg(unix)]
#[test]
fn a_refused_argument_is_printed_without_characters_that_a_terminal_executes() {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cachemaint"));
    command.args(["stat", "a", "b\u{1b}]0;owned\u{7}\u{9b}2J"]).env("CLICOLOR_FORCE", "1");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("b?]0;owned??2J"), "{error:?}");
    assert!(!error.contains(['\u{7}', '\u{9b}']), "{error:?}");
}

/// The same argument with U+FFFD in its place is valid.
#[cfg(unix)]
#[test]
fn an_argument_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;

    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cachemaint"));
    command.args(["preserve", "load", "/no such store"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("invalid UTF-8"), "{output:?}");
}
