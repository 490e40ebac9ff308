//! `cachemaint journal`: append to a journal, read it, and maintain it.

mod append;
mod read;
mod salvage;
mod trim;
mod verify;

pub(super) use verify::write_recovered;

use super::{inspect, tell_weak_guarantee, text};
use crate::failure::{damaged, of_format};
use crate::read_only::ReadOnly;
use cachemaint::dax::{self, DaxFile};
use cachemaint_journal::{Error, ErrorKind, Journal, Opened, Reader, Recovered};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Keep records in a log file, so that they survive a crash
///
/// An acknowledged record survives every crash that the file's medium survives: see `cachemaint inspect FILE`.
///
/// A position counts bytes since the journal was created. Positions are never reused.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Append(append::Arguments),
    Read(read::Arguments),
    Verify(verify::Arguments),
    Salvage(salvage::Arguments),
    Trim(trim::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Append(arguments) => append::run(arguments),
        Command::Read(arguments) => read::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Salvage(arguments) => salvage::run(arguments),
        Command::Trim(arguments) => trim::run(arguments),
    }
}

/// The guarantee of an acknowledgement.
const PERSISTENT: &str = "acknowledged records are persistent";

type DaxJournal = Journal<Arc<DaxFile>>;

/// Opens the journal in a file for appending, and reports what the opening has found.
fn recover(path: &Path, file: DaxFile) -> anyhow::Result<DaxJournal> {
    let opened = Journal::open(Arc::new(file));
    let (journal, Opened { recovered, .. }) = opened.map_err(|error| named(path, error))?;
    if let Some(torn) = verify::torn_end(&recovered) {
        text::tell!("{}: {torn}; discarded", path.display());
    }
    if recovered.root_lost {
        text::tell!("{}: {}; it was rewritten", path.display(), verify::ROOT_LOST);
    }
    Ok(journal)
}

/// Returns a reader of the journal in a file.
fn reader<'f>(path: &Path, file: &'f ReadOnly) -> anyhow::Result<Reader<&'f ReadOnly>> {
    Reader::open(file).map_err(|error| named(path, error))
}

/// Reads all of a journal, and returns the summary of its records.
pub(super) fn verified(path: &Path, reader: &Reader<&ReadOnly>) -> anyhow::Result<Recovered> {
    reader.verify().map_err(|error| named(path, error))
}

/// Returns the error with its file.
pub(super) fn named(path: &Path, error: impl Into<Error<dax::Error>>) -> anyhow::Error {
    let error = error.into();
    match error.kind() {
        ErrorKind::Format(format) => of_format(path, Some(format), &error),
        ErrorKind::Damaged(damage) => damaged(format_args!(
            "{}: {damage}; copy its intact records to a new journal with `journal salvage --into`",
            path.display()
        )),
        _ => of_format(path, None, &error),
    }
}
