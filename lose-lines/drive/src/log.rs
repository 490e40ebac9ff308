//! The log of a drive: its writes and flushes and the lines that a program printed, in order, starting with an empty
//! drive.
//!
//! The file begins with a line of text: the format's name, the file system and the size of the drive. Each event is a record
//! of [`lose_lines_states::framed`]: a letter for its kind; for a write, its offset and length; and the bytes.

use core::ops::Range;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use lose_lines_states::framed;

use crate::file_system::FileSystem;

pub const SECTOR: usize = 512;

/// The longest first line.
const FIRST_LINE: u64 = 100;
const FORMAT: &str = "lose-lines drive 1";

/// A write of whole sectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub at: usize,
    pub len: usize,
    /// The written bytes; `None` for a write of zeros.
    pub bytes: Vec<u8>,
    /// True if the write was durable on completion (force unit access).
    pub is_durable: bool,
}

impl Write {
    /// Returns the offsets of the sectors on the drive.
    pub fn sectors(&self) -> impl Iterator<Item = usize> {
        (self.at..self.at + self.len).step_by(SECTOR)
    }

    /// Returns the bytes written to the sector at this offset of the drive.
    pub fn sector(&self, at: usize) -> &[u8] {
        self.bytes.get(at - self.at..at - self.at + SECTOR).unwrap_or(&[0; SECTOR])
    }
}

/// An event of a drive or of the program that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Write(Write),
    /// All writes before it are durable.
    Flush,
    /// The program printed a line.
    Line(String),
    /// The program began.
    Start,
    /// The program ended.
    End,
}

impl Event {
    const fn kind(&self) -> char {
        match self {
            Self::Write(Write { bytes, is_durable, .. }) => match (bytes.is_empty(), is_durable) {
                (false, false) => 'W',
                (false, true) => 'w',
                (true, false) => 'Z',
                (true, true) => 'z',
            },
            Self::Flush => 'F',
            Self::Line(_) => 'L',
            Self::Start => 'S',
            Self::End => 'E',
        }
    }
}

/// The events of a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveLog {
    pub file_system: FileSystem,
    /// The bytes of the drive.
    pub size: usize,
    pub events: Vec<Event>,
}

impl DriveLog {
    /// Reads a log.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Self::parse(&mut BufReader::new(file)).with_context(|| {
            format!("{} is not a log of `lose-lines drive` of this version", path.display())
        })
    }

    #[doc(hidden)]
    pub fn parse(input: &mut impl BufRead) -> Result<Self> {
        let mut line = Vec::new();
        std::io::Read::take(&mut *input, FIRST_LINE).read_until(b'\n', &mut line)?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let words = line.trim_end().strip_prefix(FORMAT).map(str::split_whitespace);
        let mut words = words.with_context(|| format!("it begins with {line:?}"))?;
        let (kind, size) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let file_system = FileSystem::named(kind)
            .with_context(|| format!("it names the file system {kind:?}"))?;
        let size = size.parse().with_context(|| format!("it names the size {size:?}"))?;
        let mut log = Self { file_system, size, events: Vec::new() };
        while let Some(event) = next_event(input, size)
            .with_context(|| format!("event {} cannot be read", log.events.len()))?
        {
            log.events.push(event);
        }
        ensure!(log.events.contains(&Event::Start), "no program was started in it");
        Ok(log)
    }

    /// Returns the number of the event at which the program started.
    pub fn start(&self) -> usize {
        self.events.iter().position(|event| *event == Event::Start).unwrap_or_default()
    }

    /// Returns the numbers of the flushes before and after an event.
    pub fn flushes_around(&self, event: usize) -> (Option<usize>, Option<usize>) {
        let (before, after) = self.events.split_at(event.min(self.events.len()));
        let is_flush = |event: &Event| *event == Event::Flush;
        let next = after.iter().position(is_flush).map(|later| later + before.len());
        (before.iter().rposition(is_flush), next)
    }

    /// Returns the lines that the program had printed before an event.
    pub fn lines_before(&self, event: usize) -> impl Iterator<Item = &str> {
        self.events.iter().take(event).filter_map(|event| match event {
            Event::Line(line) => Some(&**line),
            _ => None,
        })
    }

    /// Returns the last line before an event, with its number.
    pub fn last_line(&self, event: usize) -> Option<(usize, &str)> {
        let before = self.events.iter().enumerate().take(event);
        before.rev().find_map(|(number, event)| match event {
            Event::Line(line) => Some((number, &**line)),
            _ => None,
        })
    }

    /// Returns the numbers of writes, flushes and lines since the program began.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |is: fn(&Event) -> bool| {
            self.events.iter().skip(self.start()).filter(|event| is(event)).count()
        };
        (
            count(|event| matches!(event, Event::Write(_))),
            count(|event| *event == Event::Flush),
            count(|event| matches!(event, Event::Line(_))),
        )
    }

    /// Returns the blocks of ext4's journal, which [`FileSystem::make`] places in one piece, if the log has one.
    pub fn journal(&self) -> Option<Range<usize>> {
        // The magic number and the kind of a superblock (Linux, `include/linux/jbd2.h`).
        const SUPERBLOCK: [u8; 8] = [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4];
        let number = |bytes: &[u8], at: usize| {
            Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize)
        };
        let made = self.events.iter().take(self.start());
        made.filter_map(|event| match event {
            Event::Write(write) if self.file_system == FileSystem::Ext4 => Some(write),
            _ => None,
        })
        .find_map(|write| {
            let mut blocks = (0..write.bytes.len()).step_by(SECTOR);
            let at = blocks.find(|at| write.bytes[*at..].starts_with(&SUPERBLOCK))?;
            let superblock = &write.bytes[at..];
            let len = number(superblock, 12)?.checked_mul(number(superblock, 16)?)?;
            Some(write.at + at..(write.at + at).saturating_add(len).min(self.size))
        })
    }

    /// Returns the number of the event at which the program ended by itself.
    pub fn end(&self) -> Option<usize> {
        self.events.iter().position(|event| *event == Event::End)
    }
}

/// Reads an event; `None` at the end.
fn next_event(input: &mut impl BufRead, size: usize) -> Result<Option<Event>> {
    let Some((words, bytes)) = framed::read(input)? else { return Ok(None) };
    Ok(Some(match words.split(' ').collect::<Vec<_>>()[..] {
        ["F"] => Event::Flush,
        ["L"] => Event::Line(String::from_utf8_lossy(&bytes).into_owned()),
        ["S"] => Event::Start,
        ["E"] => Event::End,
        [kind @ ("W" | "w" | "Z" | "z"), at, len] => {
            let (at, len): (usize, usize) = (at.parse()?, len.parse()?);
            ensure!(
                at.is_multiple_of(SECTOR) && len.is_multiple_of(SECTOR),
                "it has half a sector"
            );
            ensure!(
                at.checked_add(len).is_some_and(|end| end <= size),
                "it ends behind the drive's {size} bytes"
            );
            let is_whole = bytes.len() == if matches!(kind, "W" | "w") { len } else { 0 };
            ensure!(is_whole, "it has {} bytes", bytes.len());
            let is_durable = matches!(kind, "w" | "z");
            Event::Write(Write { at, len, bytes, is_durable })
        }
        _ => bail!("it is {words:?}"),
    }))
}

/// A log that is being written.
#[derive(Debug)]
pub struct LogWriter(BufWriter<File>);

impl LogWriter {
    pub fn create(path: &Path, file_system: FileSystem, size: usize) -> Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        let mut file = BufWriter::new(File::create(path).with_context(cannot)?);
        writeln!(file, "{FORMAT} {file_system} {size}").with_context(cannot)?;
        Ok(Self(file))
    }

    pub fn add(&mut self, event: &Event) -> std::io::Result<()> {
        let kind = event.kind();
        match event {
            Event::Write(Write { at, len, bytes, .. }) => {
                framed::write(&mut self.0, format_args!("{kind} {at} {len}"), bytes)
            }
            Event::Line(line) => {
                framed::write(&mut self.0, format_args!("{kind}"), line.as_bytes())
            }
            Event::Flush | Event::Start | Event::End => {
                framed::write(&mut self.0, format_args!("{kind}"), &[])
            }
        }
    }

    pub fn finish(mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{DriveLog, Event, LogWriter, SECTOR, Write};
    use crate::file_system::FileSystem;

    fn events() -> Vec<Event> {
        let bytes = vec![7; 2 * SECTOR];
        vec![
            Event::Start,
            Event::Write(Write { at: SECTOR, len: 2 * SECTOR, bytes, is_durable: true }),
            Event::Write(Write { at: 0, len: SECTOR, bytes: vec![], is_durable: false }),
            Event::Line(String::from("ack 1")),
            Event::Flush,
            Event::End,
        ]
    }

    #[test]
    fn a_log_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut writer = LogWriter::create(&path, FileSystem::Xfs, 1 << 20).unwrap();
        for event in events() {
            writer.add(&event).unwrap();
        }
        writer.finish().unwrap();
        let log = DriveLog::read(&path).unwrap();
        let expected = DriveLog { file_system: FileSystem::Xfs, size: 1 << 20, events: events() };
        assert_eq!(log, expected);
        assert_eq!(log.flushes_around(2), (None, Some(4)));
        assert_eq!((log.counts(), log.lines_before(4).count()), ((2, 1, 1), 1));
    }

    #[test]
    fn a_log_that_is_cut_off_or_damaged_is_refused_by_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut writer = LogWriter::create(&path, FileSystem::Ext4, 4096).unwrap();
        for event in events() {
            writer.add(&event).unwrap();
        }
        writer.finish().unwrap();
        let whole = fs::read(&path).unwrap();
        let refusal = |bytes: &[u8]| format!("{:#}", DriveLog::parse(&mut &*bytes).unwrap_err());
        assert!(refusal(&whole[..whole.len() - 1]).contains("event 5"));
        let behind =
            [b"lose-lines drive 1 ext4 1024\n", &whole[b"lose-lines drive 1 ext4 4096\n".len()..]];
        assert!(refusal(&behind.concat()).contains("event 1 cannot be read: it ends behind"));
        assert!(refusal(b"another file\n").contains("another file"));
    }
}
