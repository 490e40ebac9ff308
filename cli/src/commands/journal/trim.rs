//! `cachemaint journal trim`.

use super::{PERSISTENT, named, recover, tell_weak_guarantee, text};
use crate::commands::open;
use crate::failure::{followed, unprinted};
use anyhow::Context as _;
use cachemaint_inspect::FileReport;
use cachemaint_journal::{ErrorKind, Position};
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use text::Document;

/// Free the space of the oldest records
///
/// Take the position from `position` or `end` in `journal read --json`, or from `journal append --positions`.
///
/// A crash during the command leaves the journal either trimmed or unchanged. A damaged journal is refused: `journal
/// salvage` copies its intact records to a new one.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Free all records before this position: the start or end of a record
    #[arg(long, value_name = "POSITION")]
    to: u64,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let journal = recover(path, open(path)?)?;
    journal.trim(Position(arguments.to)).map_err(|error| {
        let is_no_record = matches!(error.kind(), ErrorKind::NotABoundary { .. });
        let error = named(path, error);
        if is_no_record {
            followed(&error, "`journal read --json` lists the positions")
        } else {
            error
        }
    })?;
    let report = FileReport::of(journal.medium().view())?;
    let (head, end, free) = (journal.head(), journal.end(), journal.free());
    if !arguments.json {
        tell_weak_guarantee(path, &report, PERSISTENT);
    }
    let facts = json!({"head": head, "end": end, "free": free, "guarantee": &report});
    let printed = text::print(arguments.json, &Document::of(path, facts), |out| {
        let free = text::thousands(free);
        writeln!(out, "there are records from {head} to {end}; {free} bytes are free")
    });
    printed.with_context(|| unprinted(format_args!("the journal is trimmed to {head}")))?;
    Ok(ExitCode::SUCCESS)
}
