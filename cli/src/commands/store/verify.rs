//! `cachemaint store verify`.

use super::{Verified, text, write_place};
use crate::read_only::ReadOnly;
use cachemaint_inspect::FileReport;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check the whole store, and report its damage
///
/// The exit code is 1 if anything is damaged, or if the file is truncated. After a crash, or while another process writes,
/// the last commit may be in one copy only, which counts: open the store for writing, or verify again. The file is only
/// read.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

#[derive(Serialize)]
struct Facts<'a> {
    #[serde(flatten)]
    verified: &'a Verified,
    #[serde(rename = "guarantee")]
    report: &'a FileReport,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let verified = Verified::of(path, &file)?;
    let report = file.report()?;
    let facts = Facts { verified: &verified, report: &report };
    text::print(arguments.json, &text::Document::of(path, facts), |out| {
        write_place(out, path, &file, &report)?;
        verified.write(out)
    })?;
    Ok(if verified.is_damaged() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
