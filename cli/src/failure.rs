//! The errors of commands, and their exit codes.

use crate::commands::text;
use anyhow::anyhow;
use cachemaint::dax;
use cachemaint_recorder::FormatError;
use serde_json::{Value, json};
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::Path;

/// The exit code of an error that is the answer of the command: contents are damaged.
const DAMAGED: u8 = 1;
/// The exit code of a wrong command line.
const MISUSED: u8 = 2;
/// The exit code of a command that could not do its work.
pub(crate) const FAILED: u8 = 3;
/// The exit code of a command whose output has no reader any more (128 and SIGPIPE), as shells have it.
const UNREAD: u8 = 141;

/// An error with an exit code of its own.
#[derive(Debug)]
struct Coded(u8, String);

impl Display for Coded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

impl Error for Coded {}

/// Returns the error of a command in its JSON.
pub(crate) fn in_json(error: &anyhow::Error) -> Value {
    json!({"message": message(error)})
}

/// Returns an error about damage, after which the exit code is 1.
pub(crate) fn damaged(words: impl Display) -> anyhow::Error {
    Coded(DAMAGED, words.to_string()).into()
}

/// Returns an error about the command line, after which the exit code is 2.
pub(crate) fn misused(words: impl Display) -> anyhow::Error {
    Coded(MISUSED, words.to_string()).into()
}

/// Returns the error of a journal, a store or a recording in a file. The error of the file itself has its path already.
pub(crate) fn of_format(
    path: &Path,
    format: Option<&FormatError<dax::Error>>,
    words: impl Display,
) -> anyhow::Error {
    let words = format!("{}: {words}", path.display());
    match format {
        Some(FormatError::Medium(error)) => error.clone().into(),
        Some(FormatError::Roots | FormatError::Truncated { .. }) => damaged(words),
        Some(FormatError::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0] }) => {
            anyhow!("{words}; `--create SIZE` needs a new file: remove this one, or name another")
        }
        _ => anyhow!(words),
    }
}

/// Returns the error with words after it.
pub(crate) fn followed(error: &anyhow::Error, words: impl Display) -> anyhow::Error {
    Coded(code(error), format!("{error:#}; {words}")).into()
}

/// Returns the error of a call of the system about a path or a stream, with what it means and what to do.
pub(crate) fn os(path: impl AsRef<Path>, call: &'static str, error: &io::Error) -> anyhow::Error {
    let path = path.as_ref();
    match error.raw_os_error() {
        Some(_) => dax::Error::os(path, call, error).into(),
        None => anyhow!("{}: {error}", path.display()),
    }
}

/// Returns the error of writing to standard output. That of a pipe without a reader stays as it is: it ends the command
/// silently.
pub(crate) fn unwritable(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => os("standard output", "write", &error),
    }
}

/// Returns the context of an error of printing after work that is done. Without it a user would repeat the work.
pub(crate) fn unprinted(done: impl Display) -> String {
    format!("{done}, but the report cannot be printed")
}

/// Reports the error of a command on standard error, and returns the exit code.
pub(crate) fn tell(error: &anyhow::Error) -> u8 {
    if is_broken_pipe(error) {
        return UNREAD;
    }
    text::tell!("{}", message(error));
    code(error)
}

/// Returns true if the reader of the output went away, as in `cachemaint caps | head`.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_it))
}

fn code(error: &anyhow::Error) -> u8 {
    let is_lost = |error: &dax::Error| matches!(error.kind(), dax::ErrorKind::Poisoned { .. });
    let of_cause = |cause: &(dyn Error + 'static)| match cause.downcast_ref() {
        Some(Coded(code, _)) => Some(*code),
        None => cause.downcast_ref().is_some_and(is_lost).then_some(DAMAGED),
    };
    error.chain().find_map(of_cause).unwrap_or(FAILED)
}

/// Returns the whole message of an error. A bare one of the system is of standard output: all others have their path.
fn message(error: &anyhow::Error) -> String {
    match error.downcast_ref::<io::Error>() {
        Some(bare) if error.chain().len() == 1 => {
            format!("{:#}", os("standard output", "write", bare))
        }
        _ => format!("{error:#}{}", action(error)),
    }
}

/// Returns what helps against the error of a system call that the kernel does not have, or that is not permitted.
fn action(error: &anyhow::Error) -> &'static str {
    #[cfg(unix)]
    let is_refused = |error: &io::Error| {
        use rustix::io::Errno;
        matches!(Errno::from_io_error(error), Some(Errno::NOSYS | Errno::PERM))
    };
    #[cfg(not(unix))]
    let is_refused = |_: &io::Error| false;
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(is_refused)) {
        "; if a filter of system calls (seccomp) refuses it, have the container or sandbox permit it"
    } else {
        ""
    }
}
