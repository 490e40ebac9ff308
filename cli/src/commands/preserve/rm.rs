//! `cachemaint preserve rm`.

use super::{named, of_blob, open};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Delete blobs: all of them, or none if one is not there
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The names of the blobs
    #[arg(required = true)]
    name: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, name: names } = arguments;
    let mut store = open(path)?;
    let mut transaction = store.begin().map_err(|error| named(path, error))?;
    for name in names {
        transaction
            .delete(name)
            .map_err(|error| of_blob(path, name, error).context("nothing was deleted"))?;
    }
    let generation = transaction.commit().map_err(|error| named(path, error))?;
    let what = match names.len() {
        1 => "1 blob was deleted".to_owned(),
        count => format!("{count} blobs were deleted"),
    };
    writeln!(io::stdout().lock(), "{what}, by generation {generation}")?;
    Ok(ExitCode::SUCCESS)
}
