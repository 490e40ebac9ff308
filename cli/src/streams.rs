//! The standard streams as files.
//!
//! The standard library reads a closed standard input as an empty one, so a good blob would be replaced by an empty one. It
//! drops the output to a closed standard output. Here both are errors, for every command.

use crate::failure::os;
use std::io::{self, Read};
#[cfg(unix)]
use {
    rustix::fs::{OFlags, fcntl_getfl},
    std::fs::{self, File},
    std::os::fd::AsFd,
    std::os::unix::fs::MetadataExt as _,
};

/// Standard output without a buffer.
#[cfg(unix)]
pub(crate) type Stdout = File;
#[cfg(not(unix))]
pub(crate) type Stdout = io::Stdout;

/// Returns standard input.
pub(crate) fn input() -> anyhow::Result<impl Read + 'static> {
    #[cfg(unix)]
    let input = open(&io::stdin());
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
    let output = open(&io::stdout());
    #[cfg(not(unix))]
    let output = Ok(io::stdout());
    output
}

/// Returns the file of a standard stream, unless the stream was closed.
///
/// When a program starts, the standard library opens `/dev/null` for reading and writing in the place of a closed stream. A
/// shell opens it only in the direction of the stream.
#[cfg(unix)]
fn open(stream: &impl AsFd) -> io::Result<File> {
    let file = File::from(stream.as_fd().try_clone_to_owned()?);
    let is_null = fs::metadata("/dev/null")
        .is_ok_and(|null| file.metadata().is_ok_and(|found| found.rdev() == null.rdev()));
    if is_null && fcntl_getfl(&file)? & OFlags::RWMODE == OFlags::RDWR {
        return Err(io::Error::other(
            "it is closed, or is /dev/null opened for both reading and writing; redirect it with < or >",
        ));
    }
    Ok(file)
}
