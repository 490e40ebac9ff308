//! `cachemaint store backup`.

use super::{Writable, named, row, text, visible};
use crate::commands;
use crate::read_only::ReadOnly;
use anyhow::{Context as _, anyhow};
use cachemaint::dax;
use cachemaint_store::{Copied, CopyError, Reader, Store};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Copy all blobs of one commit into a new store, also while another process writes
///
/// Each blob is verified, and a damaged one ends the command. Regions are not copied, and are named. The new file is as large
/// as the store.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The new file
    into: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file, into } = arguments;
    let source = ReadOnly::open(file)?;
    let reader = Reader::open(&source).map_err(|failed| named(file, failed.error))?;
    let exists = || anyhow!("{}: it exists already; name a new file", into.display());
    let target = Arc::new(commands::create(into, reader.size())?.ok_or_else(exists)?);
    let created = Store::create_new(Arc::clone(&target)).map_err(|failed| failed.error);
    let copied = created.map_err(|error| named(into, error)).and_then(|(store, _)| {
        let mut writable = Writable { file: target, store };
        let copied = copy([file, into], reader, &mut writable)?;
        writable.store.close().map_err(|error| named(into, error))?;
        Ok(copied)
    });
    report(&copied.inspect_err(|_| drop(fs::remove_file(into)))?)
}

/// Copies a store from one path to another.
pub(super) fn copy(
    [from, into]: [&Path; 2],
    mut reader: Reader<&ReadOnly>,
    writable: &mut Writable,
) -> anyhow::Result<Copied> {
    reader.copy_into(&mut writable.store).map_err(|failed| match failed {
        CopyError::<dax::Error, dax::Error>::Source(error) => named(from, error),
        CopyError::Target(error) => named(into, error),
    })
}

pub(super) fn report(copied: &Copied) -> anyhow::Result<ExitCode> {
    text::report(|out| {
        let (blobs, bytes) = (text::thousands(copied.blobs), text::thousands(copied.bytes));
        row(out, "copied", format!("commit {}: {blobs} blobs of {bytes} bytes", copied.commit))?;
        for region in &copied.regions {
            let name = visible(region.as_bytes());
            row(out, "left out", format!("{name}: it is a region, which its program copies"))?;
        }
        Ok(())
    })
    .context("the copy is complete")?;
    Ok(ExitCode::SUCCESS)
}
