//! Standard input and output as files, for the commands whose data flow through them.
//!
//! The standard library reads a closed standard input as an empty one, and drops the output to a closed standard output.
//! It does the same to an input that is open for writing only, and to an output that is open for reading only. So a good
//! blob would be replaced by an empty one. Here each of these is an error.

use anyhow::Context as _;
use std::io::{Read, Write};
use std::path::Path;
#[cfg(unix)]
use {
    crate::files::is_same,
    rustix::fs::{OFlags, fcntl_getfl},
    std::fs::{self, File},
    std::io,
    std::os::fd::AsFd,
};

/// Returns standard input.
pub(crate) fn input() -> anyhow::Result<impl Read + 'static> {
    #[cfg(unix)]
    let input = usable(
        &io::stdin(),
        OFlags::WRONLY,
        "it is open for writing only; redirect it from a file",
        "it is closed, or is /dev/null opened for writing too; redirect it (`</dev/null` for an empty input)",
    );
    #[cfg(not(unix))]
    let input = std::io::Result::Ok(std::io::stdin().lock());
    input.context("standard input cannot be read")
}

/// Returns standard output.
pub(crate) fn output() -> anyhow::Result<impl Write + 'static> {
    #[cfg(unix)]
    let output = usable(
        &io::stdout(),
        OFlags::RDONLY,
        "it is open for reading only; redirect it to a file",
        "it is closed, or is /dev/null opened for reading too; redirect it (`>/dev/null` discards the output)",
    );
    #[cfg(not(unix))]
    let output = std::io::Result::Ok(std::io::stdout().lock());
    output.context("standard output cannot be written")
}

/// Returns true if a name leads to the regular file that standard output is, as `/dev/stdout` can.
#[cfg(unix)]
pub(crate) fn is_output(name: &Path) -> bool {
    let own = io::stdout().as_fd().try_clone_to_owned().and_then(|own| File::from(own).metadata());
    let found = own.ok().zip(name.metadata().ok());
    found.is_some_and(|(own, there)| there.is_file() && is_same(&own, &there))
}

/// Standard output has no name here.
#[cfg(not(unix))]
pub(crate) const fn is_output(_: &Path) -> bool {
    false
}

/// Returns the file of a standard stream, unless it is open in the other direction or was closed.
///
/// When a program starts, the standard library opens `/dev/null` for reading and writing in the place of a closed stream. A
/// shell opens it in the direction of the stream alone.
#[cfg(unix)]
fn usable(
    stream: &impl AsFd,
    other_direction: OFlags,
    is_of_other_direction: &str,
    is_closed: &str,
) -> io::Result<File> {
    let mode = fcntl_getfl(stream)? & OFlags::RWMODE;
    if mode == other_direction {
        return Err(io::Error::other(is_of_other_direction));
    }
    let file = File::from(stream.as_fd().try_clone_to_owned()?);
    if mode == OFlags::RDWR && is_null(&file) {
        return Err(io::Error::other(is_closed));
    }
    Ok(file)
}

#[cfg(unix)]
fn is_null(file: &File) -> bool {
    let found = file.metadata().ok().zip(fs::metadata("/dev/null").ok());
    found.is_some_and(|(own, null)| is_same(&own, &null))
}
