//! `cachemaint preserve verify`.

use super::{SCHEMA, Verified, write_json, write_place};
use crate::read_only::ReadOnly;
use cachemaint::dax::Guarantee;
use serde::Serialize;
use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;

/// Read everything, and show all damage
///
/// The file is opened for reading only. The exit code is 1 if anything is damaged, and 3 if no root
/// is whole. Beside a writer, one copy of the last record can be under way: verify again.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
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
    if arguments.json {
        write_json(&Document {
            schema: SCHEMA,
            path: path.to_string_lossy(),
            verified: &verified,
            guarantee: file.view().guarantee(),
        })?;
    } else {
        let mut out = anstream::stdout().lock();
        write_place(&mut out, path, &file)?;
        verified.write(&mut out)?;
    }
    Ok(if verified.is_damaged() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
