//! `cachemaint store rm`.

use super::{named, of_blob, open, text, visible};
use anyhow::{Context as _, bail};
use cachemaint::dax::DaxFile;
use cachemaint_store::{Content, Store};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Delete blobs: all of them, or none if one does not exist
///
/// The state of a program in a region is deleted only with `--regions`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The names of the blobs; a repeated name counts once
    #[arg(required = true)]
    name: Vec<String>,
    /// Delete regions too
    #[arg(long)]
    regions: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let names = arguments.name.iter().map(String::as_str).collect();
    let commit = delete(arguments, &names, &mut open(&arguments.file)?.store)?;
    let kind = if arguments.regions { "blob or region" } else { "blob" };
    let what = match names.len() {
        1 => format!("1 {kind} was deleted"),
        count => format!("{count} {kind}s were deleted"),
    };
    text::report(|out| writeln!(out, "{what}, by commit {commit}"))
        .with_context(|| text::unprinted_commit(commit))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the number of the commit by which the blobs are gone.
fn delete(
    arguments: &Arguments,
    names: &BTreeSet<&str>,
    store: &mut Store<Arc<DaxFile>>,
) -> anyhow::Result<u64> {
    let Arguments { file: path, regions, .. } = arguments;
    for name in names.iter().filter(|_| !regions) {
        let found = store.stat(name);
        if let Some(info) = found.filter(|info| info.content == Content::Region) {
            let (path, name, len) = (path.display(), visible(name.as_bytes()), info.len);
            bail!(
                "nothing was deleted: {path}: {name}: it is a region of {len} bytes; delete it with `--regions`"
            );
        }
    }
    let mut transaction = store.begin().map_err(|error| named(path, error))?;
    for name in names {
        transaction
            .delete(name)
            .map_err(|error| of_blob(path, name, error).context("nothing was deleted"))?;
    }
    transaction.commit().map_err(|error| named(path, error))
}
