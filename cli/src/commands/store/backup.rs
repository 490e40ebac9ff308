//! `cachemaint store backup` and `restore`.

use super::{Writable, named, open, row, text, visible};
use crate::commands::create_new;
use crate::failure::unprinted;
use crate::output::{Replaces, Unfinished};
use crate::read_only::ReadOnly;
use anyhow::{Context as _, ensure};
use cachemaint::dax;
use cachemaint_store::{Copied, CopyError, Reader, Store};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Copy all blobs of one commit to a new store, even while another process writes
///
/// Each blob is verified; a damaged one stops the command. Regions are listed but not copied. The new file is as large as
/// the store.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The new file
    into: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

/// Restore the blobs of a backup to a store, in one commit
///
/// The store then has exactly the blobs of the backup. Its regions stay. If the command fails or is killed, the blobs are
/// unchanged. The file needs space for both the old and the new blobs.
#[derive(clap::Args)]
pub(super) struct RestoreArguments {
    /// The file of the backup
    backup: PathBuf,
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file, into, json } = arguments;
    let source = ReadOnly::open(file)?;
    let reader = reader(file, &source)?;
    ensure!(!into.exists(), "{}: exists already; name a new file", into.display());
    let (new, target) = Unfinished::create(into, |path| create_new(path, reader.size()))?;
    let copied = new.complete(Replaces::None, || {
        let file_of_store = Arc::new(target);
        let created = Store::create_new(Arc::clone(&file_of_store));
        let (store, _) = created.map_err(|failed| named(into, failed.error))?;
        copy([file, into], reader, Writable { file: file_of_store, store })
    })?;
    report(*json, [file, into], &copied)
}

pub(super) fn restore(arguments: &RestoreArguments) -> anyhow::Result<ExitCode> {
    let RestoreArguments { backup, file, json } = arguments;
    let source = ReadOnly::open(backup)?;
    let copied = copy([backup, file], reader(backup, &source)?, open(file)?)?;
    report(*json, [backup, file], &copied)
}

fn reader<'f>(path: &Path, file: &'f ReadOnly) -> anyhow::Result<Reader<&'f ReadOnly>> {
    Reader::open(file).map_err(|failed| named(path, failed.error))
}

/// Copies a store from one path to another.
fn copy(
    [from, into]: [&Path; 2],
    mut reader: Reader<&ReadOnly>,
    mut writable: Writable,
) -> anyhow::Result<Copied> {
    let copied = reader.copy_into(&mut writable.store).map_err(|failed| match failed {
        CopyError::<dax::Error, dax::Error>::Source(error) => named(from, error),
        CopyError::Target(error) => named(into, error),
    })?;
    writable.store.close().map_err(|error| named(into, error))?;
    Ok(copied)
}

fn report(as_json: bool, [from, into]: [&Path; 2], copied: &Copied) -> anyhow::Result<ExitCode> {
    let facts = json!({
        "into": into.to_string_lossy(), "commit": copied.commit, "blobs": copied.blobs, "bytes": copied.bytes,
        "regions_left_out": copied.regions.iter().map(ToString::to_string).collect::<Vec<_>>()
    });
    text::print(as_json, &text::Document::of(from, facts), |out| {
        let (blobs, bytes) = (text::thousands(copied.blobs), text::thousands(copied.bytes));
        row(out, "copied", format!("commit {}: {blobs} blobs of {bytes} bytes", copied.commit))?;
        for region in &copied.regions {
            let name = visible(region.as_bytes());
            row(out, "left out", format!("{name} is a region; only its program can copy it"))?;
        }
        Ok(())
    })
    .with_context(|| unprinted("the copy is complete"))?;
    Ok(ExitCode::SUCCESS)
}
