//! `cachemaint journal trim`.

use super::{PERSISTENT, named, recover, tell_guarantee, text};
use crate::commands::open;
use anyhow::Context as _;
use cachemaint::dax::Guarantee;
use cachemaint_journal::Position;
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Release the oldest records, so that there is space for others
///
/// A crash at any moment leaves all of it done, or none.
///
/// The command refuses a damaged journal: `salvage` its whole records into a new one.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Release all records before this position, at which one begins or ends
    #[arg(long, value_name = "POSITION")]
    to: u64,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    path: Cow<'a, str>,
    head: Position,
    end: Position,
    free: u64,
    guarantee: &'a Guarantee,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let journal = recover(path, open(path)?)?;
    journal.trim(Position(arguments.to)).map_err(|error| named(path, error))?;
    let guarantee = journal.medium().guarantee();
    let (head, end, free) = (journal.head(), journal.end(), journal.free());
    if !arguments.json {
        tell_guarantee(path, guarantee, PERSISTENT);
    }
    let document =
        Document { schema: text::SCHEMA, path: path.to_string_lossy(), head, end, free, guarantee };
    let printed = text::print(arguments.json, &document, |out| {
        let free = text::thousands(free);
        writeln!(out, "there are records from {head} to {end}; {free} bytes are free")
    });
    let done = format_args!("the journal is trimmed to {head}");
    printed.with_context(|| text::unprinted(done))?;
    Ok(ExitCode::SUCCESS)
}
