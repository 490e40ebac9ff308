//! `cachemaint journal`: append to a journal, read it, and maintain it.
//!
//! # JSON
//! With `--json`, `read` and `salvage` print an object for each record, one a line:
//!
//! | name | content |
//! |---|---|
//! | `position`, `end` | the beginning and the end of the record |
//! | `text` | the payload, if it is UTF-8 |
//! | `hex` | the payload in hexadecimal digits, if it is not |
//! | `skipped` | of `salvage`, in place of the others: `start` and `end` of bytes without a valid record |
//!
//! The others print one object with `"schema": 1`. Names may be added within a schema; the meaning of an existing name
//! does not change. `append` prints the object also if a record cannot be appended. `path` is that of the command line,
//! `guarantee` as in `inspect --json`.
//!
//! | of | name | content |
//! |---|---|---|
//! | all | `path`, `guarantee` | |
//! | `append` | `created` | true if the journal was made |
//! | | `appended` | the number of acknowledged records |
//! | | `positions` | their positions, with `--positions` |
//! | | `end`, `free` | the end of the journal, and bytes that are free |
//! | `verify` | `identity` | 32 hexadecimal digits |
//! | | `recovered` | `head`, `end`, `records`, `bytes` (of payloads), `torn`, `after_gap` (whole records after a torn end), `damage` (`at`, `offset`, `evidence`, `fault`; or `null`), `root_lost` |
//! | `trim` | `head`, `end`, `free` | the values after the trim |

mod append;
mod read;
mod record;
mod salvage;
mod trim;
mod verify;

use super::text::{self, write_json};
use super::{inspect, progress};
use crate::read_only::ReadOnly;
use anyhow::anyhow;
use cachemaint::dax::{self, DaxFile, Guarantee};
use cachemaint::medium::OpenError;
use cachemaint_journal::{
    Error, ErrorKind, FormatError, Journal, Opened, Options, Reader, Recovered,
};
use indicatif::ProgressBar;
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

/// The number of the document's form. It grows by one when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;

/// Opens a file to write to it, with any granularity.
fn open(path: &Path) -> Result<Arc<DaxFile>, dax::Error> {
    dax::Options::new().allow_page_granularity().open(path).map(Arc::new)
}

/// A journal that can be appended to, and the findings of its opening.
type Both = (Journal<Arc<DaxFile>>, Opened);

/// Opens the journal in a file for appending.
fn recover(path: &Path) -> anyhow::Result<Both> {
    let file = open(path)?;
    recover_by(path, |options| options.open(file))
}

/// Opens the journal in a file by a function, with options that show the progress.
fn recover_by(
    path: &Path,
    open: impl FnOnce(Options<'_>) -> Result<Both, OpenError<Arc<DaxFile>, Error<dax::Error>>>,
) -> anyhow::Result<Both> {
    let bar = progress::bar("recovering")?;
    let mut tell = |progress| progress::show(&bar, progress);
    let opened = open(Options::new().progress(&mut tell));
    bar.finish_and_clear();
    let (journal, opened) = opened.map_err(|error| named(path, error))?;
    let recovered = &opened.recovered;
    let shown = text::printable(path.display());
    if recovered.after_gap > 0 {
        let after = verify::after_torn_end(recovered.after_gap, recovered.end);
        text::tell!("cachemaint: {shown}: {after}; discarded");
    }
    if recovered.root_lost {
        text::tell!("cachemaint: {shown}: {}; it was written anew", verify::ROOT_LOST);
    }
    Ok((journal, opened))
}

/// Returns a reader of the journal in a file.
fn reader<'f>(path: &Path, file: &'f ReadOnly) -> anyhow::Result<Reader<&'f ReadOnly>> {
    Reader::open(file).map_err(|error| named(path, error))
}

/// Reads all of a journal, and returns the summary of its records.
pub(super) fn verified(
    path: &Path,
    reader: &Reader<&ReadOnly>,
    bar: &ProgressBar,
) -> anyhow::Result<Recovered> {
    let found = reader.verify(&mut |progress| progress::show(bar, progress));
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

/// Prints on standard error the guarantee of an acknowledgement of this file.
fn tell_guarantee(path: &Path, guarantee: &Guarantee) {
    let path = text::printable(path.display());
    let place = text::printable(inspect::place(guarantee));
    let reason = text::printable(&guarantee.reason);
    text::tell!(
        "cachemaint: {path}: on {place}; acknowledged records are persistent by the {}: {reason}",
        guarantee.granularity
    );
}
