//! What a program has acknowledged: the lines on its standard output. Its standard error does not count.

use core::fmt;
use std::io;

/// The longest line, in bytes, and the longest output. Both go to the checking machine over a serial line, which takes
/// about 100 KB in a second.
pub const LONGEST: usize = 64 << 10;
pub const MOST: usize = 2 << 20;

/// The complete lines that a program printed on standard output before a cut. From each of them on, the data behind it
/// must be there after any crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged(String);

impl Acknowledged {
    /// Returns lines without their ends.
    pub fn of_lines(lines: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let lines = lines.into_iter().map(|line| format!("{}\n", line.as_ref()));
        Self(lines.collect())
    }

    /// Returns the content of the file that `PRINTED` names.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Returns the number of lines.
    pub fn count(&self) -> u64 {
        self.0.lines().map(|_line| 1).sum()
    }
}

/// The lines in a growing output.
#[derive(Debug, Default)]
pub struct Lines {
    /// The incomplete line.
    line: Vec<u8>,
    /// The number of bytes so far.
    len: usize,
}

/// A line that is longer than [`LONGEST`], or an output that is longer than [`MOST`].
#[derive(Clone, Copy, Debug)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (longest, most) = (LONGEST >> 10, MOST >> 20);
        write!(
            f,
            "the program printed a line of more than {longest} KiB, or more than {most} MiB in all; an acknowledgement is a \
             short line on standard output"
        )
    }
}

impl core::error::Error for TooLong {}

impl From<TooLong> for io::Error {
    fn from(why: TooLong) -> Self {
        Self::other(why)
    }
}

impl Lines {
    /// Takes further bytes, and passes on each line that they complete.
    ///
    /// # Errors
    /// If a line is too long, or that of `take`.
    pub fn add<E: From<TooLong>>(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(String) -> Result<(), E>,
    ) -> Result<(), E> {
        self.len += bytes.len();
        if self.len > MOST {
            return Err(TooLong.into());
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, is_complete) =
                part.strip_suffix(b"\n").map_or((part, false), |line| (line, true));
            if self.line.len() + line.len() > LONGEST {
                return Err(TooLong.into());
            }
            self.line.extend(line);
            if is_complete {
                let line = core::mem::take(&mut self.line);
                take(String::from_utf8_lossy(&line).into_owned())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Acknowledged, LONGEST, Lines, MOST, TooLong};

    #[test]
    fn the_file_of_printed_lines_has_each_with_its_end() {
        let lines = Acknowledged::of_lines(["1", "2"]);
        assert_eq!((lines.text(), lines.count()), ("1\n2\n", 2));
    }

    #[test]
    fn a_line_is_passed_on_when_it_is_complete() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for part in ["on", "e\ntwo\n\nth", "ree"] {
            lines
                .add(part.as_bytes(), |line| {
                    found.push(line);
                    Ok::<_, TooLong>(())
                })
                .unwrap();
        }
        assert_eq!(found, ["one", "two", ""]);
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let mut lines = Lines::default();
        let mut add = |bytes: &[u8]| lines.add(bytes, |_line| Ok::<_, TooLong>(()));
        add(&vec![b'x'; LONGEST]).unwrap();
        add(b"\n").unwrap();
        assert!(add(&vec![b'x'; LONGEST + 1]).unwrap_err().to_string().contains("64 KiB"));
        let mut lines = Lines::default();
        let mut add = |bytes: &[u8]| lines.add(bytes, |_line| Ok::<_, TooLong>(()));
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        (0..MOST / 1024).for_each(|_line| add(&line).unwrap());
        assert!(add(b"\n").unwrap_err().to_string().contains("2 MiB"));
    }
}
