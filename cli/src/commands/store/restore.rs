//! `cachemaint store restore`.

use super::backup::{copy, report};
use super::{named, open};
use crate::read_only::ReadOnly;
use cachemaint_store::Reader;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bring the blobs of a backup back into a store, by one commit
///
/// Afterwards the store has the blobs of the backup, and no others. Its regions stay. If the command fails or is killed, the
/// blobs are as they were. The file needs space for the old blobs and the new ones.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the backup
    backup: PathBuf,
    /// The file of the store
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { backup, file } = arguments;
    let source = ReadOnly::open(backup)?;
    let reader = Reader::open(&source).map_err(|failed| named(backup, failed.error))?;
    let mut writable = open(file)?;
    let copied = copy([backup, file], reader, &mut writable)?;
    writable.store.close().map_err(|error| named(file, error))?;
    report(&copied)
}
