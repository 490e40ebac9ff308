//! `cachemaint store verify`.

use super::{Verified, text, write_place};
use crate::read_only::ReadOnly;
use cachemaint::dax::Guarantee;
use serde::Serialize;
use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;

/// Read everything, and show all damage
///
/// The file is opened for reading only. The exit code is 1 if anything is damaged, or the last commit is not whole and will
/// be undone, and 3 if no root is whole. Beside a writer, the last commit can be under way: verify again.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    path: Cow<'a, str>,
    #[serde(flatten)]
    verified: &'a Verified,
    guarantee: &'a Guarantee,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let verified = Verified::of(path, &file)?;
    let document = Document {
        schema: text::SCHEMA,
        path: path.to_string_lossy(),
        verified: &verified,
        guarantee: file.view().guarantee(),
    };
    text::print(arguments.json, &document, |out| {
        write_place(out, path, &file)?;
        verified.write(out)
    })?;
    Ok(if verified.is_damaged() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
