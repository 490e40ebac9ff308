//! The lost lines of a cut in words: the bytes of a file, the store, and the missing write-back or fence.
use core::fmt;
use core::ops::Range;
use std::collections::BTreeMap;

use lose_lines_agent::Extent;
use lose_lines_machine::losses::number;
use serde::Serialize;

use super::code::{Code, Files, Place};
use crate::extents::owner;

/// The bytes of a line.
const LINE: u64 = 64;

/// The number of ranges of bytes that are printed.
const MOST: usize = 6;

/// Lost lines of one file with the same history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LostLines {
    /// The file; `None` if the lines are in no file, for example those of the file system itself.
    pub file: Option<String>,
    /// The bytes of the file, or of the memory.
    pub bytes: Vec<Range<u64>>,
    /// The code that stored to the lines last; `None` if unknown.
    pub stored: Option<String>,
    /// The write-back that no fence completed; `None` if the lines were not written back since.
    pub written_back: Option<String>,
}

impl fmt::Display for LostLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, bytes, stored, written_back } = self;
        f.write_str(file.as_deref().unwrap_or("the memory, in no file"))?;
        f.write_str(", bytes")?;
        for (place, Range { start, end }) in bytes.iter().take(MOST).enumerate() {
            write!(f, "{} {start}..{end}", if place == 0 { "" } else { "," })?;
        }
        if bytes.len() > MOST {
            write!(f, " and {} ranges more", bytes.len() - MOST)?;
        }
        match stored {
            Some(stored) => write!(f, ": stored at {stored}")?,
            None => f.write_str(
                ": stored by the kernel, or in a way that the emulator does not report",
            )?,
        }
        match written_back {
            Some(by) => write!(f, ", written back at {by}, but no fence followed"),
            None => f.write_str(", not written back since"),
        }
    }
}

/// The store and the write-back of a line, in words.
type By = [Option<String>; 2];

/// A line that was dirty at the cut. Unknown addresses of code are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Dirty {
    stored: u64,
    caller: u64,
    written_back: u64,
}

/// The plugin's report on the dirty lines of a machine that was cut.
#[derive(Debug, Default)]
pub(super) struct Report {
    dirty: BTreeMap<u32, Dirty>,
    code: BTreeMap<u64, Code>,
}

impl Report {
    pub(super) fn read(log: &str) -> Self {
        let mut report = Self::default();
        for line in log.lines().filter_map(|line| line.strip_prefix("losses: ")) {
            if line.starts_with("dirty ") {
                report.dirty.extend(dirty(line));
            } else if line.starts_with("code ") {
                report.code.extend(code(line).map(|code| (code.at, code)));
            }
        }
        report
    }

    /// Describes lost lines.
    pub(super) fn tell(&self, lost: &[u32], place: &Placed, files: &Files) -> Vec<LostLines> {
        let mut groups: BTreeMap<(Option<String>, By), Vec<Range<u64>>> = BTreeMap::new();
        let mut known: BTreeMap<Dirty, By> = BTreeMap::new();
        for line in lost {
            let (file, start) = place.of(*line);
            let dirty = self.dirty.get(line).copied().unwrap_or_default();
            let code = known.entry(dirty).or_insert_with(|| self.code(&dirty, files)).clone();
            let ranges = groups.entry((file, code)).or_default();
            match ranges.last_mut() {
                Some(range) if range.end == start => range.end += LINE,
                _ => ranges.push(start..start + LINE),
            }
        }
        let lost = groups.into_iter().map(|((file, [stored, written_back]), bytes)| LostLines {
            file,
            bytes,
            stored,
            written_back,
        });
        lost.collect()
    }

    /// Returns the store and the write-back of a line, in words. A store in a library without sources, such as
    /// memcpy(3), is attributed to its caller.
    fn code(&self, dirty: &Dirty, files: &Files) -> By {
        let place = |at| self.code.get(&at).map(|code| files.place(code));
        let caller = || files.caller(self.code.get(&dirty.caller)?);
        let stored = place(dirty.stored).map(|stored| match (&stored, caller()) {
            (Place::Binary(function, _), Some(caller)) => format!("{caller}, by {function}"),
            _ => stored.to_string(),
        });
        [stored, place(dirty.written_back).map(|place| place.to_string())]
    }
}

fn dirty(line: &str) -> Option<(u32, Dirty)> {
    let dirty = Dirty {
        stored: number(line, "stored")?,
        caller: number(line, "caller")?,
        written_back: number(line, "writtenback")?,
    };
    Some((u32::try_from(number(line, "line")?).ok()?, dirty))
}

fn code(line: &str) -> Option<Code> {
    let (_, digits) = line.split_once("bytes=")?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len() / 2).map(|place| byte(2 * place)).collect::<Option<_>>()?;
    Some(Code { at: number(line, "at")?, start: number(line, "start")?, bytes })
}

/// The lines that a check lost, as the plugin reports them.
pub(super) fn lost_lines(report: &str) -> Vec<u32> {
    let lines = report.lines().filter(|line| line.starts_with("losses: lost "));
    lines.filter_map(|line| u32::try_from(number(line, "line")?).ok()).collect()
}

/// The files on a medium.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// The place of the device in the memory.
    pub(super) device: u64,
    pub(super) extents: Vec<Extent>,
}

impl Placed {
    /// Returns the file of a line and its place in it, or its place in the memory.
    fn of(&self, line: u32) -> (Option<String>, u64) {
        let place = u64::from(line) * LINE;
        let found = place.checked_sub(self.device).and_then(|place| owner(&self.extents, place));
        let found = found.map(|(file, offset)| (Some(file), offset));
        found.unwrap_or((None, place))
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, Placed, Report};
    use crate::crash::code::Files;

    #[test]
    fn lines_are_told_by_file_and_store() {
        let log = "losses: dirty line=2 stored=0 caller=0 writtenback=0\nlosses: lost line=2\n";
        let extent =
            |path: &str, offset, start| Extent { path: path.into(), offset, start, len: 4096 };
        let placed = Placed {
            device: 0,
            extents: vec![extent("/mnt/a/b", 8192, 0), extent("/mnt/c", 0, 4096)],
        };
        let (report, files) = (Report::read(log), Files::read([]));
        let lost = report.tell(&super::lost_lines(log), &placed, &files);
        let unknown = "stored by the kernel, or in a way that the emulator does not report, not written back since";
        assert_eq!(lost[0].to_string(), format!("a/b, bytes 8320..8384: {unknown}"));
        let lost = report.tell(&[64, 65, 67, 128], &placed, &files);
        assert_eq!(
            lost[0].to_string(),
            format!("the memory, in no file, bytes 8192..8256: {unknown}")
        );
        assert_eq!(lost[1].to_string(), format!("c, bytes 0..128, 192..256: {unknown}"));
    }
}
