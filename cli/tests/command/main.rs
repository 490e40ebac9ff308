//! The command as users and scripts run it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod canary;
mod caps;
mod demo;
// The handler of SIGBUS was not tried on others.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod faults;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod guard;
#[cfg(target_os = "linux")]
mod guide;
mod inspect;
mod journal;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod outcomes;
mod recording;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod refused_calls;
mod schema;
mod store;
#[cfg(target_os = "linux")]
mod streams;

use core::fmt::Display;
use serde_json::Value;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use tempfile::TempDir;

/// A command that has ended.
struct Ran(Output);

impl Ran {
    #[track_caller]
    fn code(self, expected: i32) -> Self {
        let said = String::from_utf8_lossy(&self.0.stderr);
        assert_eq!(self.0.status.code(), Some(expected), "{}: {said}", self.0.status);
        self
    }

    #[track_caller]
    fn success(self) -> Self {
        self.code(0)
    }
}

fn stdout(ran: &Ran) -> String {
    String::from_utf8(ran.0.stdout.clone()).unwrap()
}

fn stderr(ran: &Ran) -> String {
    String::from_utf8(ran.0.stderr.clone()).unwrap()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.0.stdout).unwrap()
}

fn cachemaint() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cachemaint"))
}

/// Returns a time as the command prints it: `date` knows "now" and "1 second ago". Such texts have the order of their times.
fn utc(when: &str) -> String {
    let date = Command::new("date").args(["-u", "-d", when, "+%FT%T.%NZ"]).output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

/// Runs a command with this standard input. Its JSON has the form of the schema.
fn ran(command: &mut Command, input: impl Into<Vec<u8>>) -> Ran {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let ran = ended(child.unwrap(), input);
    schema::check(command, &ran.0.stdout);
    ran
}

fn ended(mut child: Child, input: impl Into<Vec<u8>>) -> Ran {
    let (mut to, input) = (child.stdin.take().unwrap(), input.into());
    // A command that has failed reads no more.
    let writing = thread::spawn(move || drop(to.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    Ran(output)
}

/// A directory with a file for a group of commands, such as `journal`.
struct Place {
    group: &'static str,
    path: PathBuf,
    directory: TempDir,
}

impl Place {
    /// A place without the file yet.
    fn new(group: &'static str, name: &str) -> Self {
        Self::within(tempfile::tempdir().unwrap(), group, name)
    }

    /// Such a place in memory, if the system has one: a drive is waited for after each of many records.
    fn in_memory(group: &'static str, name: &str) -> Self {
        Self::within(cachemaint_test_support::killed::directory(), group, name)
    }

    fn within(directory: TempDir, group: &'static str, name: &str) -> Self {
        Self { group, path: directory.path().join(name), directory }
    }

    /// `cachemaint GROUP COMMAND FILE …`
    fn process(&self, arguments: &[&str]) -> Command {
        let mut process = cachemaint();
        process.args([self.group, arguments[0]]).arg(&self.path).args(&arguments[1..]);
        process
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: impl Into<Vec<u8>>) -> Ran {
        ran(&mut self.process(arguments), input)
    }

    /// The document of a command, whatever its exit code is.
    fn json(&self, arguments: &[&str]) -> Value {
        json(&self.run(&[arguments, &["--json"]].concat()))
    }

    /// `cachemaint inspect FILE …`
    fn inspect(&self, arguments: &[&str]) -> Ran {
        ran(cachemaint().arg("inspect").arg(&self.path).args(arguments), "")
    }

    /// Changes a bit of the byte at an offset.
    fn damage(&self, at: usize) {
        let mut bytes = fs::read(&self.path).unwrap();
        bytes[at] ^= 1;
        fs::write(&self.path, bytes).unwrap();
    }
}

/// Returns the text, which was wrapped at words, in one line.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Checks that each command names the fault of a file of this content, and leaves the file as it is.
fn is_refused(
    path: &Path,
    content: &[u8],
    (code, expected): (i32, &str),
    commands: &[&[&str]],
    run: impl Fn(&[&str]) -> Ran,
) {
    fs::write(path, content).unwrap();
    for command in commands {
        let refused = run(command).code(code);
        let error = stderr(&refused);
        let named = format!("cachemaint: {}: ", path.display());
        assert!(error.starts_with(&named), "{command:?}: {error}");
        assert!(error.contains(expected), "{command:?}: {error}");
        assert!(stdout(&refused).is_empty(), "{command:?}");
        assert!(fs::read(path).unwrap() == content, "{command:?}");
    }
}

/// Returns a pipe without a reader. A child that another test has forked holds the reader until it executes its program, so
/// this waits until the kernel reports that none is left (poll(2), `POLLERR`).
#[cfg(target_os = "linux")]
fn unread() -> io::Result<io::PipeWriter> {
    use rustix::event::{PollFd, PollFlags, poll};

    let (reader, writer) = io::pipe()?;
    drop(reader);
    poll(&mut [PollFd::new(&writer, PollFlags::empty())], None)?;
    Ok(writer)
}

/// Prints the name of a test that cannot run here, with the reason. `cargo xtask` counts such lines.
fn skip(test: &str, why: impl Display) {
    // If standard output is closed, the line is lost, and the test has nothing else to do.
    drop(writeln!(io::stdout(), "skipped: {test}: {why}"));
}
