//! `cachemaint journal repair`.

use super::{SCHEMA, named, open, tell_guarantee, text, write_json};
use crate::commands::progress;
use crate::faults;
use crate::read_only::ReadOnly;
use anyhow::anyhow;
use cachemaint::dax::{self, DaxView, Guarantee};
use cachemaint::journal::{
    Error, ErrorKind, Options, Position, Reader, Recovered, Repaired, Salvaged,
};
use core::ops::Range;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Repair a damaged journal so that it can be appended to, with every record that is whole
///
/// Bytes without a valid record are overwritten: copy the file first. Without `--yes` nothing is written, and the bytes
/// that would be lost are printed; the exit code is 1 then, if there are any.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Repair the journal
    #[arg(long)]
    yes: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    path: Cow<'a, str>,
    is_repaired: bool,
    #[serde(flatten)]
    outcome: &'a Outcome,
    guarantee: &'a Guarantee,
}

/// The records that are kept, and the ranges that are lost.
#[derive(Serialize)]
struct Outcome {
    records: u64,
    end: Position,
    lost: Vec<Range<Position>>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.yes { repair(arguments) } else { foretell(arguments) }
}

fn repair(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = open(path)?;
    let bar = progress::bar("reading")?;
    let mut tell = |progress| progress::show(&bar, progress);
    let repaired = faults::guarded(file.view(), || {
        Options::new().progress(&mut tell).repair(Arc::clone(&file))
    });
    bar.finish_and_clear();
    let (journal, repaired) = repaired?.map_err(|error| named(path, error))?;
    let Repaired { records, end, lost, .. } = repaired;
    let guarantee = journal.medium().guarantee();
    if !arguments.json {
        tell_guarantee(path, guarantee);
    }
    print(arguments, &Outcome { records, end, lost }, guarantee)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the result that a repair would have.
fn foretell(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let reader =
        file.guarded(|| Reader::open(file.view()))?.map_err(|error| unreadable(path, error))?;
    let bar = progress::bar("verifying")?;
    let verified = file.guarded(|| reader.verify(&mut |progress| progress::show(&bar, progress)));
    bar.finish_and_clear();
    let Recovered { records, end, damage, .. } = verified?.map_err(|error| named(path, error))?;
    let outcome = match damage {
        None => Outcome { records, end, lost: Vec::new() },
        Some(_) => salvaged(path, &file, &reader)?,
    };
    print(arguments, &outcome, file.view().guarantee())?;
    Ok(if outcome.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the records that a repair would keep.
fn salvaged(path: &Path, file: &ReadOnly, reader: &Reader<&DaxView>) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome { records: 0, end: reader.head(), lost: Vec::new() };
    let mut salvage = reader.salvage();
    while let Some(found) = file.guarded(|| salvage.next())? {
        match found.map_err(|error| named(path, error))? {
            Salvaged::Record(record) => {
                outcome.records += 1;
                outcome.end = record.end;
            }
            Salvaged::Skipped(skipped) => outcome.lost.push(skipped),
        }
    }
    Ok(outcome)
}

/// Returns the error of a journal whose superblocks cannot be read, with the repair that is possible.
fn unreadable(path: &Path, error: impl Into<Error<dax::Error>>) -> anyhow::Error {
    let error = error.into();
    let can_be_rebuilt =
        matches!(error.kind(), ErrorKind::Superblocks | ErrorKind::NotAJournal { .. });
    let error = named(path, error);
    if !can_be_rebuilt {
        return error;
    }
    anyhow!(
        "{error:#}. Nothing was written; if there was a journal, `--yes` rebuilds its superblocks from \
         its segments, and trimmed records that were not yet overwritten are in it again then"
    )
}

fn print(arguments: &Arguments, outcome: &Outcome, guarantee: &Guarantee) -> anyhow::Result<()> {
    let is_repaired = arguments.yes;
    if arguments.json {
        let path = arguments.file.to_string_lossy();
        return write_json(&Document { schema: SCHEMA, path, is_repaired, outcome, guarantee });
    }
    let out = &mut io::stdout().lock();
    let records = text::thousands(outcome.records);
    let what = match (outcome.lost.is_empty(), is_repaired) {
        (true, false) => format!("the journal is not damaged: it has {records} records"),
        (_, true) => format!("repaired: {records} records are there"),
        (false, false) => format!("nothing was written; `--yes` keeps {records} records"),
    };
    writeln!(out, "{what}, up to {}", outcome.end)?;
    for lost in &outcome.lost {
        writeln!(out, "lost: what was at positions {} to {}", lost.start, lost.end)?;
    }
    Ok(())
}
