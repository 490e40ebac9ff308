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
//! | | `recovered` | `head`, `end`, `records`, `bytes` (of payloads), `torn`, `behind` (whole records behind a torn end), `damage` (`at`, `offset`, `evidence`, `fault`; or `null`), `superblock_lost` |
//! | `repair` | `is_repaired` | `false` without `--yes`; the other names then show the result of a repair |
//! | | `was_whole` | true if nothing has to be repaired, or had to be |
//! | | `rebuilt` | true if the superblocks are lost or too old, and are rebuilt |
//! | | `superblock_lost` | true if one of the two superblocks is torn or damaged, and is written anew |
//! | | `records`, `end` | records that are kept, and the end of the last one |
//! | | `lost` | list of `start`, `end`: bytes without a valid record |
//! | `trim` | `head`, `end`, `free` | the values after the trim |

mod append;
mod read;
mod record;
mod repair;
mod salvage;
mod trim;
mod verify;

use super::text::{self, write_json};
use super::{inspect, progress};
use crate::read_only::ReadOnly;
use anyhow::anyhow;
use cachemaint::dax::{self, DaxFile, Guarantee};
use cachemaint::journal::{Error, ErrorKind, Journal, Options, Reader, Recovered};
use cachemaint::medium::OpenError;
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
    Repair(repair::Arguments),
    Trim(trim::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Append(arguments) => append::run(arguments),
        Command::Read(arguments) => read::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Salvage(arguments) => salvage::run(arguments),
        Command::Repair(arguments) => repair::run(arguments),
        Command::Trim(arguments) => trim::run(arguments),
    }
}

/// The number of the document's form. It grows by one when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;

/// Opens a file to write to it, with any granularity.
fn open(path: &Path) -> Result<Arc<DaxFile>, dax::Error> {
    dax::Options::new().allow_page_granularity().open(path).map(Arc::new)
}

/// A journal that can be appended to, and its recovery.
type Opened = (Journal<Arc<DaxFile>>, Recovered);

/// Opens the journal in a file for appending. Whole records after a torn end are discarded, or else the journal is
/// refused.
fn recover(path: &Path, discard: bool) -> anyhow::Result<Opened> {
    let file = open(path)?;
    recover_by(path, discard, |options| options.open(file))
}

/// Opens the journal in a file by a function, with options that show the progress.
fn recover_by(
    path: &Path,
    discard: bool,
    open: impl FnOnce(Options<'_>) -> Result<Opened, OpenError<Arc<DaxFile>, Error<dax::Error>>>,
) -> anyhow::Result<Opened> {
    let bar = progress::bar("recovering")?;
    let mut tell = |progress| progress::show(&bar, progress);
    let options = Options::new().progress(&mut tell);
    let options = if discard { options } else { options.refuse_discard() };
    let opened = open(options);
    bar.finish_and_clear();
    let (journal, recovered) = opened.map_err(|error| named(path, error))?;
    let shown = text::printable(path.display());
    if recovered.behind > 0 {
        let behind = verify::behind_torn_end(recovered.behind, recovered.end);
        text::tell!("cachemaint: {shown}: {behind}; discarded");
    }
    if recovered.superblock_lost {
        text::tell!("cachemaint: {shown}: {}; it was written anew", verify::SUPERBLOCK_LOST);
    }
    Ok((journal, recovered))
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
        ErrorKind::Medium(error) => anyhow!("{error}"),
        // Only the commands with `--discard` open a journal in this way.
        ErrorKind::WouldDiscard { end, behind, .. } => anyhow!(
            "{}: {}; nothing was written. `journal salvage` prints them, `journal repair` keeps them, and \
             `--discard` discards them",
            path.display(),
            verify::behind_torn_end(*behind, *end)
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
