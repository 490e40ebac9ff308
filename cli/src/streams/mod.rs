//! The standard streams as files.
//!
//! The standard library reads a closed standard input as an empty one, so a good blob would be replaced by an empty one. It
//! drops the output to a closed standard output. Here both are errors, for every command.

#[cfg(unix)]
#[expect(unsafe_code, reason = "runs before `main`")]
mod closed;

use crate::failure::os;
use std::io::{self, Read};
#[cfg(unix)]
use {std::fs::File, std::os::fd::AsFd};

/// Standard output without a buffer.
#[cfg(unix)]
pub(crate) type Stdout = File;
#[cfg(not(unix))]
pub(crate) type Stdout = io::Stdout;

/// Returns standard input.
pub(crate) fn input() -> anyhow::Result<impl Read + 'static> {
    #[cfg(unix)]
    let input = open(&io::stdin(), 0);
    #[cfg(not(unix))]
    let input = io::Result::Ok(io::stdin().lock());
    input.map_err(|error| os("standard input", "read", &error))
}

/// Returns standard output. A command whose result it is asks for it before the work.
pub(crate) fn output() -> anyhow::Result<io::BufWriter<Stdout>> {
    stdout().map(io::BufWriter::new).map_err(|error| os("standard output", "write", &error))
}

pub(crate) fn stdout() -> io::Result<Stdout> {
    #[cfg(unix)]
    let output = open(&io::stdout(), 1);
    #[cfg(not(unix))]
    let output = Ok(io::stdout());
    output
}

/// Returns the file of a standard stream, unless the stream was closed when the program started.
#[cfg(unix)]
fn open(stream: &impl AsFd, descriptor: usize) -> io::Result<File> {
    if closed::was_closed(descriptor) {
        return Err(io::Error::other("it is closed; redirect it with < or >"));
    }
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}
