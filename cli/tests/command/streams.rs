//! The standard streams and the arguments of every command.

use crate::{Ran, cachemaint, ran, stderr, unread};
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// More than a pipe holds.
const LINES: usize = 16_384;

/// Redirections that leave a command without a standard input: closed, and open for writing only as by `nohup`.
const NO_INPUT: [&str; 2] = ["<&-", "0>/dev/null"];

/// Commands that print, with standard input empty.
const PRINTING: [&[&str]; 16] = [
    &["caps"],
    &["caps", "--json"],
    &["inspect", "."],
    &["journal", "read", "log"],
    &["journal", "verify", "log"],
    &["journal", "append", "log", "--positions", "--record", "x"],
    &["store", "load", "state", "blob"],
    &["store", "list", "state"],
    &["store", "save", "state", "other"],
    &["recording", "print", "trace"],
    &["inspect", "trace"],
    &["journal", "salvage", "log"],
    &["guard", "--once", "--page-cache", "log"],
    &["canary", "show", "."],
    &["demo", "."],
    &["--help"],
];

/// A directory with a journal, a store and a recording, each of many lines.
fn place() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let create: [&[&str]; 3] = [
        &["journal", "append", "log", "--create", "4M"],
        &["store", "save", "state", "blob", "--create", "4M"],
        &["recording", "write", "trace", "--create", "4M"],
    ];
    for arguments in create {
        ran(&mut command(directory.path(), arguments), "line\n".repeat(LINES)).success();
    }
    ran(&mut command(directory.path(), &["canary", "plant", "."]), "").success();
    directory
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = cachemaint();
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    command
}

/// As in `cachemaint caps | head -1`, with a reader that is gone before the first byte.
#[test]
fn a_closed_output_pipe_ends_a_command_as_sigpipe_does() {
    let place = place();
    for arguments in PRINTING {
        let output = command(place.path(), arguments).stdout(unread().unwrap()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!error.contains("pipe"), "{arguments:?}: {error}");
    }
}

/// A full disk is an error, unlike a reader that has read enough.
#[test]
fn a_result_that_cannot_be_written_fails() {
    let place = place();
    for arguments in PRINTING {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(place.path(), arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("standard output: no space"), "{error}");
    }
}

#[test]
fn a_missing_standard_input_is_not_an_empty_one() {
    let place = place();
    let reading: [&[&str]; 4] = [
        &["journal", "append", "log"],
        &["store", "save", "state", "blob"],
        &["recording", "write", "trace"],
        &["store", "save", "new", "blob", "--create", "1M"],
    ];
    for arguments in reading {
        for redirection in NO_INPUT {
            let refused = redirected(&command(place.path(), arguments), redirection).code(3);
            let error = stderr(&refused);
            assert!(error.contains("standard input: "), "{arguments:?} {redirection}: {error}");
        }
        let is_created = place.path().join("new").exists();
        assert!(!is_created, "{arguments:?}");
        redirected(&command(place.path(), arguments), "</dev/null").success();
    }
    redirected(&command(place.path(), &["journal", "append", "log", "--record", "x"]), "<&-")
        .success();
}

/// What was asked for must not be lost on its way.
#[test]
fn a_missing_standard_output_fails_every_command_that_prints() {
    let place = place();
    for arguments in PRINTING
        .iter()
        .chain([&["store", "save", "state", "other", "-j"][..], &["--version"]].iter())
    {
        for redirection in [">&-", "1</dev/null"] {
            let refused = redirected(&command(place.path(), arguments), redirection).code(3);
            let error = stderr(&refused);
            assert!(error.contains("standard output"), "{arguments:?} {redirection}: {error}");
        }
    }
    let load = command(place.path(), &["store", "load", "state", "blob"]);
    redirected(&load, ">/dev/null").success();
    // As Python's `subprocess.DEVNULL`.
    redirected(&command(place.path(), &["--version"]), "0<>/dev/null 1<>/dev/null").success();
    // These print nothing.
    for arguments in
        [&["journal", "append", "log", "--record", "x"][..], &["store", "seal", "state", "-q"]]
    {
        redirected(&command(place.path(), arguments), ">&-").success();
    }
}

/// As in a unit with `LimitFSIZE=` (systemd.exec(5)): a write beyond the limit raises SIGXFSZ (setrlimit(2)).
#[test]
fn a_limit_of_file_sizes_is_an_error_and_leaves_nothing() {
    let place = place();
    for (arguments, names) in [
        (&["store", "load", "state", "blob", "--output", "out"][..], "out: "),
        (&["store", "load", "state", "blob"], "standard output: "),
        (&["journal", "read", "log"], "standard output: "),
        (&["recording", "print", "trace"], "standard output: "),
        (&["journal", "salvage", "log", "--into", "out"], "unfinished: "),
        (&["store", "backup", "state", "out"], "unfinished: "),
        (&["store", "save", "new", "blob", "--create", "1M"], "new: "),
        #[cfg(feature = "generate")]
        (&["generate", "."], ": "),
    ] {
        let before = names_in(place.path());
        let mut limited = Command::new("bash");
        limited.args(["-c", "ulimit -f 1; exec \"$@\"", "bash"]).arg(cachemaint().get_program());
        limited.args(arguments).current_dir(place.path()).stdin(Stdio::null());
        let printed = tempfile::tempfile().unwrap();
        let output = limited.stdout(printed).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {error}");
        assert!(error.contains(names) && error.contains("(ulimit -f)"), "{arguments:?}: {error}");
        assert_eq!(names_in(place.path()), before, "{arguments:?}: {error}");
    }
}

fn names_in(directory: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// A user who repeats such a command would do the work twice.
#[test]
fn work_whose_report_cannot_be_printed_is_named() {
    let place = place();
    std::fs::create_dir(place.path().join("empty")).unwrap();
    for (arguments, done) in [
        (&["journal", "append", "log", "--record", "x", "--json"][..], "1 records are appended"),
        (&["journal", "trim", "log", "--to", "64"], "the journal is trimmed to 64"),
        (&["journal", "salvage", "log", "--into", "new"], "records in new: 16385"),
        (&["canary", "plant", "empty"], "the canary is planted"),
        (&["store", "save", "state", "new"], " is durable"),
        (&["store", "seal", "state"], " is durable"),
        (&["store", "remove", "state", "new"], " is durable"),
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(place.path(), arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        let expected = format!("{done}, but the report cannot be printed");
        assert!(error.contains(&expected), "{arguments:?}: {error}");
    }
}

/// Runs a command with its standard streams as a shell redirects them.
fn redirected(command: &Command, redirection: &str) -> Ran {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$@\" {redirection}")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap_or(".".as_ref()));
    Ran(shell.output().unwrap())
}

/// Several commands can have one standard error, as in a unit of systemd. Each call is a datagram here.
#[test]
fn a_message_is_written_by_one_call() {
    let (messages, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut command = command(Path::new("."), &["recording", "print", "no such file"]);
    command.stderr(std::os::fd::OwnedFd::from(theirs));
    assert_eq!(command.status().unwrap().code(), Some(3));
    messages.set_nonblocking(true).unwrap();
    let mut message = [0; 1024];
    let len = messages.recv(&mut message).unwrap();
    let message = str::from_utf8(&message[..len]).unwrap();
    assert!(message.starts_with("cachemaint: no such file: "), "{message}");
    assert!(message.ends_with('\n'), "{message}");
    assert_eq!(messages.recv(&mut [0; 1024]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// As of `cachemaint recording print *`. The environment variable has the escapes of a terminal printed into a pipe.
#[test]
fn a_refused_argument_is_printed_without_characters_that_a_terminal_executes() {
    let mut command =
        command(Path::new("."), &["recording", "print", "a", "b\u{1b}]0;owned\u{7}\u{9b}2J"]);
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

    let mut command = command(Path::new("."), &["store", "load", "/no such store"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("invalid UTF-8"), "{output:?}");
}
