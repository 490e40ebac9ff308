//! The subcommands, one file or folder each: its arguments and `run`; and the modules that they share.

pub(crate) mod bench;
pub(crate) mod canary;
pub(crate) mod caps;
mod contents;
pub(crate) mod demo;
#[cfg(feature = "generate")]
pub(crate) mod generate;
#[cfg(target_os = "linux")]
pub(crate) mod guard;
pub(crate) mod inspect;
pub(crate) mod journal;
mod payload;
pub(crate) mod recording;
pub(crate) mod store;
pub(crate) mod text;

use crate::output::removed;
use anyhow::{Context as _, anyhow};
use cachemaint::dax::{DaxFile, Error, ErrorKind, Options};
use cachemaint_inspect::FileReport;
use cachemaint_inspect::survival::{Event, Stage, Survival};
use std::path::Path;

/// Opens a file to write to it, with any granularity.
fn open(path: &Path) -> Result<DaxFile, Error> {
    Options::new().allow_page_granularity().open(path)
}

/// Creates a file of zeros with this number of bytes. Returns `None` if there is a file already.
fn create(path: &Path, size: u64) -> Result<Option<DaxFile>, Error> {
    match Options::new().allow_page_granularity().create_new(path, size) {
        Err(error) if matches!(error.kind(), ErrorKind::Exists) => Ok(None),
        created => created.map(Some),
    }
}

/// Creates a file of this number of bytes, and by `make` a journal, a store or a recording in it; or opens by `open_in` the
/// one in a file that is there. Returns true with a new one. A file in which nothing could be made is removed.
fn open_or_create<T>(
    path: &Path,
    size: Option<u64>,
    make: impl FnOnce(DaxFile) -> anyhow::Result<T>,
    open_in: impl FnOnce(DaxFile) -> anyhow::Result<T>,
) -> anyhow::Result<(T, bool)> {
    if let Some(size) = size
        && let Some(file) = create(path, size)?
    {
        return Ok((make(file).map_err(|error| removed(path, error))?, true));
    }
    Ok((open_in(open(path).map_err(or_create)?)?, false))
}

/// Creates a new file of this number of bytes.
fn create_new(path: &Path, size: u64) -> anyhow::Result<DaxFile> {
    let exists = || anyhow!("{}: exists already; name a new file", path.display());
    create(path, size)?.with_context(exists)
}

/// Adds the option that creates a missing file to an error about it.
fn or_create(error: Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow!("{error} (`--create SIZE`)"),
        _ => error.into(),
    }
}

/// Prints the guarantee of what a command makes persistent on standard error, if a power loss takes the bytes in any case.
fn tell_weak_guarantee(path: &Path, report: &FileReport, persistent: &str) {
    let kept = report.survives(Stage::Persisted, Event::PowerLoss);
    if text::is_quiet() || matches!(kept.answer, Survival::Yes | Survival::If(_)) {
        return;
    }
    text::tell!(
        "{}: on {}; {persistent}, by the {}: {}; they survive a power loss: {}",
        path.display(),
        inspect::place(report),
        report.granularity,
        report.reason,
        kept.answer
    );
}
