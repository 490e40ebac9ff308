//! `cachemaint store remove`.

use super::{named, of_blob, open, print_commit, visible};
use anyhow::bail;
use cachemaint::dax::DaxFile;
use cachemaint_store::{Content, Store};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Delete blobs: all of them, or none if any does not exist
///
/// A region, which a program uses in place, is deleted only with --regions.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The names of the blobs
    #[arg(required = true)]
    name: Vec<String>,
    /// Also delete regions
    #[arg(long)]
    regions: bool,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let names: BTreeSet<_> = arguments.name.iter().map(String::as_str).collect();
    let commit = delete(arguments, &names, &mut open(&arguments.file)?.store)?;
    let kind = if arguments.regions { "blob or region" } else { "blob" };
    let what = match names.len() {
        1 => format!("1 {kind} was deleted"),
        count => format!("{count} {kind}s were deleted"),
    };
    let facts = json!({"removed": &names});
    print_commit(arguments.json, &arguments.file, commit, facts, |out| {
        writeln!(out, "{what}, by commit {commit}")
    })
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
