//! `cachemaint preserve rm`.

use super::{named, of_blob, open};
use cachemaint::dax::DaxFile;
use cachemaint::preserve::Store;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Delete blobs: all of them, or none if one does not exist
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
    let generation = open(path, None)?.guarded(|store| delete(arguments, store))??;
    let what = match names.len() {
        1 => "1 blob was deleted".to_owned(),
        count => format!("{count} blobs were deleted"),
    };
    writeln!(io::stdout().lock(), "{what}, by generation {generation}")?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the generation of the store in which the blobs are gone.
fn delete(arguments: &Arguments, store: &mut Store<Arc<DaxFile>>) -> anyhow::Result<u64> {
    let Arguments { file: path, name: names } = arguments;
    let mut transaction = store.begin().map_err(|error| named(path, error))?;
    for name in names {
        transaction
            .delete(name)
            .map_err(|error| of_blob(path, name, error).context("nothing was deleted"))?;
    }
    transaction.commit().map_err(|error| named(path, error))
}
