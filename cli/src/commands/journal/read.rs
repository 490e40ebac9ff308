//! `cachemaint journal read`.

use super::named;
use super::verify::torn_end;
use crate::commands::payload::{Payload, write_visible};
use crate::commands::text;
use crate::read_only::ReadOnly;
use crate::streams;
use cachemaint::dax;
use cachemaint_journal::{Error, ErrorKind, Position, Reader};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Print the records, one per line, oldest first
///
/// Control characters are shown as escapes. A torn end, which a crash can leave, is reported on standard error. If the
/// journal is damaged, the records before the damage are printed and the exit code is 1.
///
/// The file is only read, so another process may append to it meanwhile. The last records may then be unacknowledged, and a
/// power cut can still lose them.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Start at this position: the start or end of a record
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// At the end, wait for new records
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    form: Form,
}

/// The time between two looks at the journal.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, from, .. } = arguments;
    let file = ReadOnly::open(path)?;
    let mut reader = super::reader(path, &file)?;
    // On an error its drop writes out the records before the error.
    let mut out = streams::output()?;
    let mut next = from.map(Position);
    while let Err(error) = print(arguments, &reader, &mut next, &mut out)? {
        // An opening for appending replaces the reader, and has the same records.
        let later = super::reader(path, &file)?;
        let is_the_same = later.identity() == reader.identity();
        if !is_the_same || !matches!(error.kind(), ErrorKind::Replaced) {
            return Err(named(path, error));
        }
        reader = later;
    }
    out.flush()?;
    if from.is_none() {
        tell_torn_end(path, &reader)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the records from the next one on. Returns the error of the reader.
fn print(
    arguments: &Arguments,
    reader: &Reader<&ReadOnly>,
    next: &mut Option<Position>,
    out: &mut impl Write,
) -> anyhow::Result<Result<(), Error<dax::Error>>> {
    let records = match *next {
        None => reader.records(),
        Some(next) => reader.records_from(next),
    };
    let mut records = match records {
        Ok(records) => records,
        Err(error) => return Ok(Err(error)),
    };
    let (mut line, mut payload) = (Vec::new(), Vec::new());
    loop {
        match records.read_next(&mut payload) {
            Err(error) => return Ok(Err(error)),
            Ok(Some(position)) => {
                line.clear();
                arguments.form.write(&mut line, [position, records.reached()], &payload)?;
                out.write_all(&line)?;
                *next = Some(records.reached());
            }
            Ok(None) if !arguments.follow => return Ok(Ok(())),
            Ok(None) => {
                // One large record leaves no large buffers.
                (line, payload) = (Vec::new(), Vec::new());
                out.flush()?;
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Reports a torn end on standard error, and intact records after it: this command does not print them.
fn tell_torn_end(path: &Path, reader: &Reader<&ReadOnly>) -> anyhow::Result<()> {
    let found = match reader.verify() {
        Ok(found) => found,
        // An opening for appending has taken them away.
        Err(error) if matches!(error.kind(), ErrorKind::Replaced) => return Ok(()),
        Err(error) => return Err(named(path, error)),
    };
    if let Some(torn) = torn_end(&found) {
        let salvage = if found.after_gap > 0 { "; `journal salvage` prints them" } else { "" };
        text::tell!("{}: {torn}{salvage}", path.display());
    }
    Ok(())
}

/// The form of records on standard output.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(super) struct Form {
    /// Print payloads unchanged, each followed by a newline
    #[arg(long)]
    raw: bool,
    /// Print a JSON object for each record, one per line
    #[arg(short, long)]
    pub(super) json: bool,
}

impl Form {
    /// Appends a record, whose positions are those of its beginning and its end.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        [position, end]: [Position; 2],
        payload: &[u8],
    ) -> anyhow::Result<()> {
        if self.json {
            let payload = Payload::of(payload);
            text::write_json_line(out, &Shown { position, end, payload })?;
            return Ok(());
        }
        if self.raw {
            out.extend_from_slice(payload);
        } else {
            write_visible(out, payload);
        }
        out.push(b'\n');
        Ok(())
    }
}

/// A line of JSON.
#[derive(Serialize)]
struct Shown<'r> {
    position: Position,
    end: Position,
    #[serde(flatten)]
    payload: Payload<'r>,
}
