//! `cachemaint store`: put named blobs into a store, take them out again, and look after it.

mod backup;
mod list;
mod load;
mod remove;
mod save;
mod seal;
mod verdict;
mod verified;
mod verify;

use super::payload::visible;
use super::text::{self, Document, heading, row};
use super::{inspect, payload};
use crate::failure::{damaged, of_format, unprinted};
use crate::read_only::ReadOnly;
use anyhow::{Context as _, anyhow};
use cachemaint::dax::{self, DaxFile};
use cachemaint::medium::Readable as _;
use cachemaint_inspect::FileReport;
use cachemaint_store::{Capacity, Error, ErrorKind, Reader, Store};
use serde_json::Value;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
pub(super) use verified::Verified;

/// Keep named blobs in a file, so that they survive crashes and reboots
///
/// A blob is replaced atomically: a crash leaves either the old one or the new one. `cachemaint inspect FILE` shows what
/// the file survives. `store seal` prepares it for a planned reboot.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Save(save::Arguments),
    Load(load::Arguments),
    List(list::Arguments),
    Verify(verify::Arguments),
    #[command(visible_alias = "rm")]
    Remove(remove::Arguments),
    Seal(seal::Arguments),
    Backup(backup::Arguments),
    Restore(backup::RestoreArguments),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Save(arguments) => save::run(arguments),
        Command::Load(arguments) => load::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Remove(arguments) => remove::run(arguments),
        Command::Seal(arguments) => seal::run(arguments),
        Command::Backup(arguments) => backup::run(arguments),
        Command::Restore(arguments) => backup::restore(arguments),
    }
}

/// Bytes that are copied in one go.
const PIECE: u64 = 1 << 20;

/// A store opened for writing.
struct Writable {
    file: Arc<DaxFile>,
    store: Store<Arc<DaxFile>>,
}

/// Opens the store in a file for writing, and reports damage.
fn open(path: &Path) -> anyhow::Result<Writable> {
    opened(path, super::open(path)?)
}

fn opened(path: &Path, file: DaxFile) -> anyhow::Result<Writable> {
    let file = Arc::new(file);
    let opened = Store::open(Arc::clone(&file));
    let (store, opened) = opened.map_err(|failed| named(path, failed.error))?;
    for damage in &opened.mended {
        text::tell!("{}: {damage}; it was repaired from the other copy", path.display());
    }
    Ok(Writable { file, store })
}

/// The number of attempts at a reading that commits make obsolete.
const ATTEMPTS: u32 = 100;

/// Runs `work` on the last commit, and again if another commit came in between, [`ATTEMPTS`] times at most.
fn with_last_commit<T>(
    path: &Path,
    file: &ReadOnly,
    mut work: impl FnMut(&Reader<&ReadOnly>) -> Result<T, Error<dax::Error>>,
) -> anyhow::Result<T> {
    for _ in 0..ATTEMPTS {
        let reader = Reader::open(file).map_err(|failed| failed.error);
        match reader.and_then(|reader| work(&reader)) {
            Err(error) if matches!(error.kind(), ErrorKind::Replaced) => {}
            done => return done.map_err(|error| named(path, error)),
        }
    }
    Err(named(path, Error::from(ErrorKind::Replaced)))
}

/// Prints the report of a commit: the facts as JSON, or text.
fn print_commit(
    as_json: bool,
    path: &Path,
    commit: u64,
    mut facts: Value,
    write_text: impl FnOnce(&mut text::Out) -> io::Result<()>,
) -> anyhow::Result<ExitCode> {
    facts["commit"] = commit.into();
    text::print(as_json, &Document::of(path, facts), write_text)
        .with_context(|| unprinted(format_args!("commit {commit} is durable")))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the error with the name of the file.
fn named(path: &Path, error: impl Into<Error<dax::Error>>) -> anyhow::Error {
    let error = error.into();
    match error.kind() {
        ErrorKind::Format(format) => of_format(path, Some(format), &error),
        ErrorKind::Damaged(damage) => {
            damaged(format_args!("{}: {damage}; restore the file from a copy", path.display()))
        }
        _ => of_format(path, None, &error),
    }
}

/// Returns the error with the names of the file and of the blob.
fn of_blob(path: &Path, name: &str, error: Error<dax::Error>) -> anyhow::Error {
    let place = format!("{}: {}", path.display(), visible(name.as_bytes()));
    match error.kind() {
        ErrorKind::Format(_) => named(path, error),
        ErrorKind::NotFound { .. } => {
            anyhow!("{place}: no blob or region has this name; `store list` shows the names")
        }
        ErrorKind::OtherContent { .. } => anyhow!(
            "{place}: it is a region, which the program that created it uses in place; choose another name"
        ),
        kind @ ErrorKind::Full { .. } => {
            anyhow!(
                "{place}: {kind} (`store remove`, `store save --grow SIZE`); nothing has changed"
            )
        }
        ErrorKind::Damaged(damage) => damaged(format_args!(
            "{place}: {damage}; save it again. `store verify` shows what else is damaged"
        )),
        kind => anyhow!("{place}: {kind}"),
    }
}

/// The rows on the file.
fn write_place(
    out: &mut impl Write,
    path: &Path,
    file: &ReadOnly,
    report: &FileReport,
) -> io::Result<()> {
    heading(out, &text::printable(path.display()))?;
    let size = text::bytes(file.len());
    row(out, "file", format!("{size}, {}", inspect::place(report)))?;
    write_granularity(out, report)
}

fn write_granularity(out: &mut impl Write, report: &FileReport) -> io::Result<()> {
    row(out, "granularity", format!("{}: {}", report.granularity, report.reason))
}

/// The row on the space of a store.
fn write_capacity(out: &mut impl Write, capacity: Option<&Capacity>) -> io::Result<()> {
    let Some(Capacity { total, free, largest, .. }) = capacity else { return Ok(()) };
    let [total, free, largest] = [total, free, largest].map(|it| text::thousands(*it));
    row(out, "free", format!("{free} of {total} bytes, {largest} of them in one piece"))
}

const fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
