//! `cachemaint journal append`.

use super::{SCHEMA, named, open, recover, recover_by, tell_guarantee, text, write_json};
use crate::commands::missing::or_create;
use crate::commands::placed::refuse_of_another_user;
use crate::commands::unused::has_other_data;
use crate::{files, standard};
use anyhow::{Context as _, anyhow, bail};
use cachemaint::dax::{self, DaxFile, Guarantee};
use cachemaint_journal::{
    Error, ErrorKind, FormatError, Group, Journal, Options, Position, Reader,
};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Append records: each line of standard input, or the named ones
///
/// A record is acknowledged when it is persistent. Standard error shows the events that it survives in this file. If the
/// command is killed, every acknowledged record is kept. Lines that arrive together are acknowledged together, unless
/// `--positions` is given.
///
/// The command refuses a damaged journal: `salvage` its whole records into a new one.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Create the file, with this number of bytes, and the journal, if they are missing: 4096, 64K, 16M, 1G. On Unix an
    /// existing file without a journal is refused if it belongs to neither this user nor root
    #[arg(long, value_name = "SIZE", value_parser = text::size)]
    create: Option<u64>,
    /// Bytes of a segment of the new journal: a power of two, and the greatest length of a record
    #[arg(long, value_name = "SIZE", value_parser = text::size, requires = "create")]
    segment: Option<u64>,
    /// Append this record, and read no input; can be given several times
    #[arg(long, value_name = "TEXT")]
    record: Vec<String>,
    /// Append the whole of standard input as one record
    #[arg(long, conflicts_with = "record")]
    whole: bool,
    /// Print the position of each record when it is acknowledged
    #[arg(long)]
    positions: bool,
    /// Print one JSON document at the end, also if a record cannot be appended
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    path: Cow<'a, str>,
    created: bool,
    appended: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    positions: Option<&'a [Position]>,
    end: Position,
    free: u64,
    guarantee: &'a Guarantee,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let input = arguments.record.is_empty().then(standard::input).transpose()?;
    let (journal, created) = if let Some(size) = arguments.create {
        open_or_create(arguments, size)?
    } else {
        (recover(path).map_err(or_create)?.0, false)
    };
    let file = Arc::clone(journal.medium());
    let guarantee = file.guarantee();
    if !arguments.json {
        tell_guarantee(path, guarantee);
    }
    let positions = match (arguments.positions, arguments.json) {
        (false, _) => Positions::Unasked,
        (true, false) => Positions::Printed,
        (true, true) => Positions::Kept(Vec::new()),
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
        return Err(anyhow::Error::new(error)
            .context(format!("{appended} records are appended, but positions cannot be printed")));
    }
    if arguments.json {
        // The records before a failure are acknowledged.
        let document = Document {
            schema: SCHEMA,
            path: path.to_string_lossy(),
            created,
            appended,
            positions: if let Positions::Kept(kept) = &positions { Some(kept) } else { None },
            end,
            free,
            guarantee,
        };
        let count = format_args!("{appended} records are appended");
        let printed = write_json(&document).with_context(|| text::unprinted(count));
        return done.and(printed.map(|()| ExitCode::SUCCESS));
    }
    done
}

/// Opens the journal in a file, or creates the missing parts: a crash between the two creations leaves a file without a
/// journal. Returns true with a new journal. A new file in which no journal could be created is removed.
fn open_or_create(
    arguments: &Arguments,
    size: u64,
) -> anyhow::Result<(Journal<Arc<DaxFile>>, bool)> {
    let path = &arguments.file;
    let file = match dax::Options::new().allow_page_granularity().create_new(path, size) {
        Err(error) if matches!(error.kind(), dax::ErrorKind::Exists) => {
            return open_or_create_in(arguments, &open(path)?);
        }
        created => Arc::new(created?),
    };
    let journal = create(arguments, &file).inspect_err(|_| files::discard(path, file))?;
    Ok((journal, true))
}

/// Creates a journal in a file of zeros.
fn create(arguments: &Arguments, file: &Arc<DaxFile>) -> anyhow::Result<Journal<Arc<DaxFile>>> {
    let options = arguments.segment.into_iter().fold(Options::new(), Options::segment);
    let created = options.create_new(Arc::clone(file));
    Ok(created.map_err(|failed| named(&arguments.file, failed))?.0)
}

/// The bytes that a creation writes: the roots (module `journal`, the format).
const CREATED: [[u64; 2]; 4] = [[0, 128], [4096, 4224], [8192, 8320], [12288, 12416]];

/// Returns true if an error says that no journal is there, and the file begins with zeros.
fn is_missing(error: &Error<dax::Error>) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Format(FormatError::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0], .. })
    )
}

/// Opens or creates the journal in an existing file.
fn open_or_create_in(
    arguments: &Arguments,
    file: &Arc<DaxFile>,
) -> anyhow::Result<(Journal<Arc<DaxFile>>, bool)> {
    let path = &arguments.file;
    if !has_other_data(file.view(), file.file(), &[])? {
        refuse_of_another_user(path, file.view())?;
        return Ok((create(arguments, file)?, true));
    }
    let is_there = is_there(path, file)?;
    let (journal, _) = recover_by(path, |options| {
        let options = arguments.segment.into_iter().fold(options, Options::segment);
        options.open_or_create(Arc::clone(file))
    })?;
    Ok((journal, !is_there))
}

/// Returns true if a file has a journal, and refuses a file that has other data, or that another user has placed.
fn is_there(path: &Path, file: &DaxFile) -> anyhow::Result<bool> {
    let view = file.view();
    let Err(failed) = Reader::open(file) else { return Ok(true) };
    if is_missing(&failed.error) {
        if has_other_data(view, view.file(), &CREATED)? {
            bail!("{}: the file has other data than a journal; use another file", path.display());
        }
        refuse_of_another_user(path, view)?;
    }
    Ok(false)
}

/// The handling of the positions.
enum Positions {
    Unasked,
    Printed,
    /// Printing has failed. The records are appended all the same.
    Unprinted(io::Error),
    Kept(Vec<Position>),
}

struct Appender<'j> {
    path: &'j Path,
    journal: &'j Journal<Arc<DaxFile>>,
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
            Positions::Printed => {
                if let Err(error) = writeln!(io::stdout().lock(), "{position}") {
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
        input.take(most).read_to_end(&mut payload).context(UNREADABLE)?;
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
        input.take(most).read_until(b'\n', &mut line).context(UNREADABLE)?;
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
        anyhow!("{error:#}; {appended}, and record {} was not", self.appended + 1)
    }
}

const UNREADABLE: &str = "standard input cannot be read";
