//! `cachemaint store seal`.

use super::{heading, named, open, print_commit, row, verdict, visible};
use crate::commands::inspect;
use cachemaint_inspect::FileReport;
use cachemaint_inspect::survival::{Event, Stage};
use cachemaint_store::Info;
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Make everything as durable as the medium allows, before a planned reboot
///
/// Saving or removing a blob breaks the seal. Sealing does not read the blobs: run `store verify` first to find damage. The
/// report shows for each kind of reboot whether the blobs survive it, and why.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let mut writable = open(path)?;
    let commit = writable.store.seal().map_err(|error| named(path, error))?;
    let report = FileReport::of(writable.file.view())?;
    let listed: Vec<_> = writable.store.list().collect();
    let dirty: Vec<_> = listed.iter().filter(|info| info.is_dirty).map(|info| &info.name).collect();
    let survival = inspect::cells(&report);
    let facts = json!({"dirty_regions": dirty, "survival": survival, "guarantee": &report});
    print_commit(arguments.json, path, commit, facts, |out| print(out, commit, &listed, &report))
}

fn print(
    out: &mut impl Write,
    commit: u64,
    listed: &[Info],
    report: &FileReport,
) -> io::Result<()> {
    row(out, "sealed", format!("by commit {commit}"))?;
    for info in listed.iter().filter(|info| info.is_dirty) {
        let name = visible(info.name.as_bytes());
        row(
            out,
            "dirty",
            format!(
                "{name}: its bytes can date from different moments; only its program can seal it"
            ),
        )?;
    }
    row(out, "backing", report.backing)?;
    for &event in Event::ALL {
        let statement = report.survives(Stage::DeepPersisted, event);
        writeln!(out)?;
        heading(out, &format!("{event}: {}", statement.answer))?;
        row(out, "because", statement.text)?;
        row(out, "source", verdict::source(&statement))?;
    }
    Ok(())
}
