//! `cachemaint journal append`.

use super::{DaxJournal, PERSISTENT, named, recover, tell_weak_guarantee, text};
use crate::commands::open_or_create;
use crate::failure::{followed, in_json, os, tell, unprinted, unwritable};
use crate::streams;
use anyhow::{Context as _, anyhow};
use cachemaint::dax;
use cachemaint_inspect::FileReport;
use cachemaint_journal::{Error, ErrorKind, Group, Options, Position};
use serde_json::json;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Append records: each line of standard input, or the texts of --record
///
/// A record is acknowledged once it is persistent, and is kept even if the command is then killed. Lines that arrive
/// together are acknowledged together, unless --positions is given. If the records would not survive a power loss, standard
/// error says so.
///
/// A damaged journal is refused: `journal salvage` copies its intact records to a new one.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Create the file with this size if it is missing: 64K, 16M, 1G
    #[arg(long, value_name = "SIZE", value_parser = text::size)]
    create: Option<u64>,
    /// Segment size of the new journal, a power of two. A record must fit into a segment
    #[arg(long, value_name = "SIZE", value_parser = text::size, requires = "create")]
    segment: Option<u64>,
    /// Append this record instead of standard input; can be repeated
    #[arg(long, value_name = "TEXT")]
    record: Vec<String>,
    /// Append the whole of standard input as one record
    #[arg(long, conflicts_with = "record")]
    whole: bool,
    /// Print the position of each record once it is acknowledged
    #[arg(long)]
    positions: bool,
    /// Print one JSON document at the end, even if a record could not be appended
    #[arg(short, long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let input = arguments.record.is_empty().then(streams::input).transpose()?;
    // Positions without a place to go are refused before the first record is appended.
    let out = arguments.positions.then(streams::output).transpose()?;
    let (journal, created) = open_or_create(
        path,
        arguments.create,
        |file| {
            let options = arguments.segment.into_iter().fold(Options::new(), Options::segment);
            let created = options.create_new(Arc::new(file));
            Ok(created.map_err(|failed| named(path, failed.error))?.0)
        },
        |file| recover(path, file),
    )?;
    let file = Arc::clone(journal.medium());
    let report = FileReport::of(file.view())?;
    if !arguments.json {
        tell_weak_guarantee(path, &report, PERSISTENT);
    }
    let positions = match out {
        None => Positions::Unasked,
        Some(_) if arguments.json => Positions::Kept(Vec::new()),
        Some(out) => Positions::Printed(out),
    };
    let mut appender = Appender { path, journal: &journal, appended: 0, positions };
    let appending = match input {
        None => arguments.record.iter().try_for_each(|record| appender.append(record.as_bytes())),
        Some(input) if arguments.whole => appender.append_whole(input),
        Some(input) => appender.append_lines(&mut BufReader::new(input)),
    };
    let Appender { appended, positions, .. } = appender;
    let (end, free) = (journal.end(), journal.free());
    let done = appending.and_then(|()| {
        journal.close().map_err(|error| named(path, error))?;
        Ok(ExitCode::SUCCESS)
    });
    if let Positions::Unprinted(error) = positions {
        done?;
        return Err(unwritable(error)
            .context(format!("{appended} records are appended, but positions cannot be printed")));
    }
    if arguments.json {
        // The records before a failure are acknowledged, and stay in one object with it.
        let mut facts = json!({
            "created": created, "appended": appended, "end": end, "free": free, "guarantee": &report
        });
        if let Positions::Kept(kept) = &positions {
            facts["positions"] = json!(kept);
        }
        if let Err(error) = &done {
            facts["error"] = in_json(error);
        }
        let document = text::Document::of(path, facts);
        let count = format_args!("{appended} records are appended");
        text::write_json(&document).with_context(|| unprinted(count))?;
        return Ok(done.unwrap_or_else(|error| tell(&error).into()));
    }
    done
}

/// The handling of the positions.
enum Positions {
    Unasked,
    Printed(io::BufWriter<streams::Stdout>),
    /// Printing has failed. The records are appended all the same.
    Unprinted(io::Error),
    Kept(Vec<Position>),
}

struct Appender<'j> {
    path: &'j Path,
    journal: &'j DaxJournal,
    /// Records that were acknowledged.
    appended: u64,
    positions: Positions,
}

/// The most lines that are appended together.
const TOGETHER: usize = 64;

impl Appender<'_> {
    fn append(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let position = self.journal.append(payload).map_err(|error| self.refused(error))?;
        self.appended += 1;
        match &mut self.positions {
            Positions::Unasked | Positions::Unprinted(_) => {}
            Positions::Printed(out) => {
                if let Err(error) = writeln!(out, "{position}").and_then(|()| out.flush()) {
                    self.positions = Positions::Unprinted(error);
                }
            }
            Positions::Kept(kept) => kept.push(position),
        }
        Ok(())
    }

    fn append_whole(&mut self, input: impl Read) -> anyhow::Result<()> {
        let mut payload = Vec::new();
        // One byte more than the largest record shows that the input is too long.
        let most = self.journal.largest() + 1;
        input.take(most).read_to_end(&mut payload).map_err(|error| unreadable(&error))?;
        if payload.len() as u64 == most {
            return Err(self.failed(&self.too_long("standard input")));
        }
        self.append(&payload)
    }

    fn append_lines(&mut self, input: &mut BufReader<impl Read>) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        loop {
            match self.line(input) {
                Ok(Some(line)) => {
                    lines.push(line);
                    let has_more = input.buffer().contains(&b'\n');
                    if !has_more || lines.len() == TOGETHER {
                        self.append_together(&mut lines)?;
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.append_together(&mut lines)?;
                    return Err(self.failed(&error));
                }
            }
        }
    }

    /// Appends lines by one write-back, if they fit into a segment together.
    fn append_together(&mut self, lines: &mut Vec<Vec<u8>>) -> anyhow::Result<()> {
        let mut group = Group::new();
        for line in lines.iter() {
            group.push(line);
        }
        let has_no_positions =
            matches!(self.positions, Positions::Unasked | Positions::Unprinted(_));
        if lines.len() > 1 && has_no_positions {
            match self.journal.append_group(&mut group) {
                Ok(_) => {
                    self.appended += lines.len() as u64;
                    lines.clear();
                }
                // As many lines as fit are appended one by one.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::TooLong { .. } | ErrorKind::Full { .. }
                    ) => {}
                Err(error) => return Err(self.refused(error)),
            }
        }
        lines.drain(..).try_for_each(|line| self.append(&line))
    }

    /// Returns the next line without its end.
    fn line(&self, input: &mut BufReader<impl Read>) -> anyhow::Result<Option<Vec<u8>>> {
        let most = self.journal.largest() + 1;
        let mut line = Vec::new();
        input.take(most).read_until(b'\n', &mut line).map_err(|error| unreadable(&error))?;
        match line.pop_if(|last| *last == b'\n') {
            None if line.is_empty() => Ok(None),
            None if line.len() as u64 == most => Err(self.too_long("a line")),
            _ => Ok(Some(line)),
        }
    }

    fn too_long(&self, what: &str) -> anyhow::Error {
        anyhow!(
            "{}: {what} has more than the {} bytes that fit into a segment of this journal; split it, or create \
             a journal with larger segments (--segment)",
            self.path.display(),
            self.journal.largest()
        )
    }

    fn refused(&self, error: Error<dax::Error>) -> anyhow::Error {
        self.failed(&named(self.path, error))
    }

    /// Returns the error with the progress of the command.
    fn failed(&self, error: &anyhow::Error) -> anyhow::Error {
        let appended = match self.appended {
            1 => "1 record was appended".to_owned(),
            count => format!("{count} records were appended"),
        };
        followed(error, format_args!("{appended}, and record {} was not", self.appended + 1))
    }
}

fn unreadable(error: &io::Error) -> anyhow::Error {
    os("standard input", "read", error)
}
