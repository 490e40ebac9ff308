//! The records of a log's file: a line of words, of which the last one is the number of bytes, and the bytes.

use core::fmt;
use std::io::{self, BufRead, Read as _, Write};

/// Writes a record.
///
/// # Errors
/// If it cannot be written.
pub fn write(to: &mut impl Write, words: fmt::Arguments<'_>, bytes: &[u8]) -> io::Result<()> {
    writeln!(to, "{words} {}", bytes.len())?;
    to.write_all(bytes)?;
    to.write_all(b"\n")
}

/// Reads a record: its words and its bytes; `None` at the end.
///
/// # Errors
/// If it cannot be read, or is not whole.
pub fn read(from: &mut impl BufRead) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a record is damaged");
    let (words, len) = line.trim_end().rsplit_once(' ').ok_or_else(damaged)?;
    let len: u64 = len.parse().ok().ok_or_else(damaged)?;
    let mut bytes = Vec::new();
    from.take(len.saturating_add(1)).read_to_end(&mut bytes)?;
    let is_whole = bytes.pop() == Some(b'\n') && bytes.len() as u64 == len;
    if is_whole { Ok(Some((words.to_owned(), bytes))) } else { Err(damaged()) }
}
