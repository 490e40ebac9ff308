//! The standard streams as files, for blobs and logs that flow through them.
//!
//! The standard library reads a closed standard input as an empty one, so a good blob would be replaced by an empty one. It
//! drops the output to a closed standard output. Here both are errors.

use crate::commands::os;
use std::io::{Read, Write};
#[cfg(unix)]
use {
    rustix::fs::{OFlags, fcntl_getfl},
    std::fs::{self, File},
    std::io,
    std::os::fd::AsFd,
    std::os::unix::fs::MetadataExt as _,
};

/// Returns standard input.
pub(crate) fn input() -> anyhow::Result<impl Read + 'static> {
    #[cfg(unix)]
    let input = open(&io::stdin());
    #[cfg(not(unix))]
    let input = std::io::Result::Ok(std::io::stdin().lock());
    input.map_err(|error| os("standard input", "read", &error))
}

/// Returns standard output.
pub(crate) fn output() -> anyhow::Result<impl Write> {
    #[cfg(unix)]
    let output = open(&io::stdout());
    #[cfg(not(unix))]
    let output = std::io::Result::Ok(std::io::stdout().lock());
    output.map_err(|error| os("standard output", "write", &error))
}

/// Returns the file of a standard stream, unless the stream was closed.
///
/// When a program starts, the standard library opens `/dev/null` for reading and writing in the place of a closed stream. A
/// shell opens it in the direction of the stream alone.
#[cfg(unix)]
fn open(stream: &impl AsFd) -> io::Result<File> {
    let file = File::from(stream.as_fd().try_clone_to_owned()?);
    let is_null = file.metadata()?.rdev() == fs::metadata("/dev/null")?.rdev();
    if is_null && fcntl_getfl(&file)? & OFlags::RWMODE == OFlags::RDWR {
        return Err(io::Error::other(
            "it is closed, or /dev/null that is open for reading and writing; redirect it by < or >",
        ));
    }
    Ok(file)
}
