//! `cachemaint store load`.

use super::{PIECE, named, of_blob, progress, visible};
use crate::commands::os;
use crate::read_only::ReadOnly;
use crate::{interrupts, standard};
use anyhow::{Context as _, anyhow, ensure};
use cachemaint::dax;
use cachemaint_store::{Blob, Error, ErrorKind, Reader};
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, exit};
use std::sync::{Arc, OnceLock};

/// Write a blob to standard output, as it was saved
///
/// Each byte is verified before it is written. Where the blob is damaged, the command ends with an error. The file is
/// opened for reading only, also while another process writes it.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The name of the blob
    name: String,
    /// Write the blob into this file instead, which is replaced when the whole blob is written. The new file is its
    /// owner's alone
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, name, output } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = Reader::open(&file).map_err(|failed| named(path, failed.error))?;
    let blob = reader.blob(name).map_err(|error| of_blob(path, name, error))?;
    let loading = Loading { path, name, blob, is_streamed: output.is_none() };
    match output {
        None => {
            let bar = progress::bar_beside_output("loading", loading.blob.info().len)?;
            let mut out = standard::output()?;
            loading.write(&mut out, &bar)?;
            out.flush()?;
        }
        Some(output) => loading.replace(output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A blob on its way out.
struct Loading<'l> {
    path: &'l Path,
    name: &'l str,
    blob: Blob<&'l &'l ReadOnly>,
    /// True if bytes are out before the whole blob is.
    is_streamed: bool,
}

impl Loading<'_> {
    /// Writes it piece by piece.
    fn write(&self, out: &mut impl Write, bar: &ProgressBar) -> anyhow::Result<()> {
        let len = self.blob.info().len;
        bar.set_length(len);
        let mut buffer = vec![0; len.min(PIECE) as usize];
        let mut at = 0;
        while at < len {
            let piece = &mut buffer[..(len - at).min(PIECE) as usize];
            self.blob.read_at(at, piece).map_err(|error| self.ended(at, error))?;
            out.write_all(piece)?;
            at += piece.len() as u64;
            bar.set_position(at);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Returns the error, with the number of bytes written before it.
    fn ended(&self, at: u64, error: Error<dax::Error>) -> anyhow::Error {
        let (path, name) = (self.path.display(), visible(self.name.as_bytes()));
        let error = match error.kind() {
            ErrorKind::Replaced => anyhow!(
                "{path}: {name}: it was replaced or deleted meanwhile; load it again to get the new one"
            ),
            _ => of_blob(self.path, self.name, error),
        };
        if self.is_streamed && at > 0 {
            anyhow!("{error:#}; only its first {at} bytes were written")
        } else {
            error
        }
    }

    /// Replaces a file by a new one, which is private and is removed by a signal that ends the command before.
    fn replace(&self, output: &Path) -> anyhow::Result<()> {
        let shown = output.display();
        if let Ok(found) = fs::symlink_metadata(output) {
            ensure!(
                found.is_file(),
                "{shown}: is not a regular file; name one, or redirect standard output to it"
            );
            let is_store = is_same(self.path, output).with_context(|| shown.to_string())?;
            ensure!(!is_store, "{shown}: is the store itself; write the blob into another file");
        }
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        let temporary = Arc::new(OnceLock::new());
        let removed = Arc::clone(&temporary);
        // Before the file is there: a signal right after its creation must find the handler. Without a handler a signal
        // leaves the file, and no thread may be to be had for one.
        drop(interrupts::handle(move || {
            let path: &PathBuf = removed.wait();
            drop(fs::remove_file(path));
            exit(interrupts::INTERRUPTED.into());
        }));
        let beside = tempfile::Builder::new().make_in(parent.unwrap_or(Path::new(".")), private);
        let mut beside = beside.map_err(|error| os(output, "open", &error))?;
        temporary.get_or_init(|| beside.path().to_path_buf());
        // Errors of the file itself have a number.
        let written = self.write(beside.as_file_mut(), &progress::bar("loading")?);
        written.map_err(|error| match error.downcast_ref() {
            Some(of_output) => os(output, "write", of_output),
            None => error,
        })?;
        // Without this the new name can be durable before the bytes are.
        crate::output::sync(beside.as_file()).map_err(|error| os(output, "fsync", &error))?;
        beside.persist(output).map_err(|error| os(output, "rename", &error.error))?;
        Ok(())
    }
}

/// Creates a file for this user alone, as tempfile does, whose errors have no number.
fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.read(true).write(true).create_new(true).open(path)
}

/// Returns true if two names lead to one file.
#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;

    let [one, other] = [one, other].map(fs::metadata);
    let (one, other) = (one?, other?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(not(unix))]
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(one.canonicalize()? == other.canonicalize()?)
}
