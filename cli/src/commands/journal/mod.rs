//! `cachemaint journal`: append to a journal, read it, and maintain it.

mod append;
mod read;
mod salvage;
mod trim;
mod verify;

pub(super) use verify::write_recovered;

use super::{inspect, progress, tell_guarantee, text};
use crate::read_only::ReadOnly;
use anyhow::anyhow;
use cachemaint::dax::{self, DaxFile};
use cachemaint_journal::{
    Error, ErrorKind, FormatError, Journal, Opened, Options, Reader, Recovered,
};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Append to a journal in a file, read it, and maintain it
///
/// A journal does not lose an acknowledged record: every one is found again after a crash, as far as the file's medium
/// survives it. `cachemaint inspect FILE` shows the events that it survives.
///
/// Positions are bytes since the journal's creation, and are never used again.
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
    let bar = progress::bar("recovering")?;
    let mut tell = |progress| progress::show(&bar, progress);
    let opened = Options::new().progress(&mut tell).open(Arc::new(file));
    bar.finish_and_clear();
    let (journal, Opened { recovered, .. }) = opened.map_err(|error| named(path, error))?;
    if let Some(torn) = verify::torn_end(&recovered) {
        text::tell!("{}: {torn}; discarded", path.display());
    }
    if recovered.root_lost {
        text::tell!("{}: {}; it was written anew", path.display(), verify::ROOT_LOST);
    }
    Ok(journal)
}

/// Returns a reader of the journal in a file.
fn reader<'f>(path: &Path, file: &'f ReadOnly) -> anyhow::Result<Reader<&'f ReadOnly>> {
    Reader::open(file).map_err(|error| named(path, error))
}

/// Reads all of a journal, and returns the summary of its records.
pub(super) fn verified(
    path: &Path,
    reader: &Reader<&ReadOnly>,
    what: &'static str,
) -> anyhow::Result<Recovered> {
    let bar = progress::bar(what)?;
    let found = reader.verify(&mut |progress| progress::show(&bar, progress));
    bar.finish_and_clear();
    found.map_err(|error| named(path, error))
}

/// Returns the error with its file.
pub(super) fn named(path: &Path, error: impl Into<Error<dax::Error>>) -> anyhow::Error {
    let error = error.into();
    match error.kind() {
        ErrorKind::Format(FormatError::Medium(error)) => anyhow!("{error}"),
        ErrorKind::Damaged(damage) => anyhow!(
            "{}: {damage}; make a new journal of its whole records by `journal salvage --into`",
            path.display()
        ),
        _ => anyhow::Error::new(error).context(path.display().to_string()),
    }
}
