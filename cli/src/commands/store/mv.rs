//! `cachemaint store mv`.

use super::{of_blob, open, text, visible};
use anyhow::{Context as _, anyhow};
use cachemaint::dax::DaxFile;
use cachemaint_store::{ErrorKind, Store};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Rename a blob to an unused name, without copying it
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The present name
    from: String,
    /// The new name
    to: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, from, to } = arguments;
    let commit = rename(arguments, &mut open(path)?.store)?;
    let (from, to) = (visible(from.as_bytes()), visible(to.as_bytes()));
    text::report(|out| writeln!(out, "{from} is {to} now, by commit {commit}"))
        .with_context(|| text::unprinted_commit(commit))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the number of the commit by which the blob has its new name.
fn rename(arguments: &Arguments, store: &mut Store<Arc<DaxFile>>) -> anyhow::Result<u64> {
    let Arguments { file: path, from, to } = arguments;
    let mut transaction = store.begin().map_err(|error| of_blob(path, from, error))?;
    transaction.rename(from, to).map_err(|error| match error.kind() {
        ErrorKind::NameTaken { .. } => anyhow!(
            "{}: {}: there is a blob or a region of this name already; delete it first (`store rm`)",
            path.display(),
            visible(to.as_bytes())
        ),
        ErrorKind::Invalid { .. } => of_blob(path, to, error),
        _ => of_blob(path, from, error),
    })?;
    transaction.commit().map_err(|error| of_blob(path, from, error))
}
