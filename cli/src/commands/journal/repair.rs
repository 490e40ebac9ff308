//! `cachemaint journal repair`.

use super::{SCHEMA, named, open, tell_guarantee, text, write_json};
use crate::commands::progress;
use crate::read_only::ReadOnly;
use anyhow::Context as _;
use cachemaint::dax::Guarantee;
use cachemaint::journal::{Options, Repaired};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Repair a damaged journal so that it can be appended to, with the records that are whole
///
/// Whole records after a torn end are kept too. A whole record is lost if the lost bytes before it are too few to be
/// marked as empty. If the superblocks are lost, they are rebuilt from the segments.
///
/// Bytes without a valid record are overwritten: copy the file first. Without `--yes` nothing is written: the records
/// that `--yes` would keep and the bytes that it would lose are printed, and the exit code is 1 if there is something to
/// repair. Do not append to the journal meanwhile.
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
    repaired: &'a Repaired,
    guarantee: &'a Guarantee,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.yes { repair(arguments) } else { preview(arguments) }
}

fn repair(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = open(path)?;
    let bar = progress::bar("reading")?;
    let mut tell = |progress| progress::show(&bar, progress);
    let repaired = Options::new().progress(&mut tell).repair(file);
    bar.finish_and_clear();
    let (journal, repaired) = repaired.map_err(|error| named(path, error))?;
    let guarantee = journal.medium().guarantee();
    if !arguments.json {
        tell_guarantee(path, guarantee);
    }
    print(arguments, &repaired, guarantee)
        .with_context(|| text::unprinted("the repair is done"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the result that a repair would have.
fn preview(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let bar = progress::bar("reading")?;
    let mut tell = |progress| progress::show(&bar, progress);
    let repaired = Options::new().progress(&mut tell).preview_repair(&file);
    bar.finish_and_clear();
    let repaired = repaired.map_err(|error| named(path, error))?;
    print(arguments, &repaired, file.view().guarantee())?;
    Ok(if repaired.was_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(arguments: &Arguments, repaired: &Repaired, guarantee: &Guarantee) -> anyhow::Result<()> {
    let is_repaired = arguments.yes;
    if arguments.json {
        let path = arguments.file.to_string_lossy();
        return write_json(&Document { schema: SCHEMA, path, is_repaired, repaired, guarantee });
    }
    let out = &mut io::stdout().lock();
    let records = text::thousands(repaired.records);
    let outcome = match (repaired.was_whole, is_repaired) {
        (true, _) => format!("the journal is not damaged: it has {records} records"),
        (false, true) => format!("repaired: {records} records are there"),
        (false, false) => format!("nothing was written; `--yes` keeps {records} records"),
    };
    writeln!(out, "{outcome}, up to {}", repaired.end)?;
    for lost in &repaired.lost {
        writeln!(out, "lost: what was at positions {} to {}", lost.start, lost.end)?;
    }
    if repaired.superblock_lost && !repaired.rebuilt {
        writeln!(out, "{}", super::verify::SUPERBLOCK_LOST)?;
    }
    if repaired.rebuilt {
        writeln!(
            out,
            "the superblocks are lost or too old: {} from the segments, and trimmed records that were not yet \
             overwritten are in the journal again",
            if is_repaired { "they were rebuilt" } else { "`--yes` rebuilds them" }
        )?;
    }
    Ok(())
}
