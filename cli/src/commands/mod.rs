//! The subcommands, one file or folder each: its arguments and `run`; and the modules that they share.

pub(crate) mod bench;
pub(crate) mod caps;
mod contents;
pub(crate) mod demo;
pub(crate) mod dump;
pub(crate) mod generate;
#[cfg(target_os = "linux")]
pub(crate) mod guard;
pub(crate) mod inspect;
pub(crate) mod journal;
mod payload;
mod progress;
pub(crate) mod record;
mod recording;
pub(crate) mod store;
pub(crate) mod text;

use cachemaint::dax::{DaxFile, Error, ErrorKind, Guarantee, Options};
use cachemaint::survival::{Event, Stage, Survival};
use std::io;
use std::path::Path;
use text::Talk;

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

/// Returns the error of a call of the system about a path or a stream, with what it means and what to do.
pub(crate) fn os(path: impl AsRef<Path>, call: &'static str, error: &io::Error) -> anyhow::Error {
    let path = path.as_ref();
    match error.raw_os_error() {
        Some(_) => Error::os(path, call, error).into(),
        None => anyhow::anyhow!("{}: {error}", path.display()),
    }
}

/// Adds the option that creates a missing file to an error about it.
fn or_create(error: Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("{error} (`--create SIZE`)"),
        _ => error.into(),
    }
}

/// Prints the guarantee of what a command makes persistent on standard error, if the user wants it or a power loss takes
/// the bytes in any case.
fn tell_guarantee(path: &Path, guarantee: &Guarantee, persistent: &str) {
    let kept = guarantee.survives(Stage::Persisted, Event::PowerLoss);
    let is_weak = !matches!(kept.answer, Survival::Yes | Survival::If(_));
    if Talk::is_quiet() || !(is_weak || Talk::is_verbose()) {
        return;
    }
    text::tell!(
        "{}: on {}; {persistent}, by the {}: {}; they survive a power loss: {}",
        path.display(),
        inspect::place(guarantee),
        guarantee.granularity,
        guarantee.reason,
        kept.answer
    );
}
