//! `cachemaint store load`.

use super::{PIECE, named, of_blob, text, visible};
use crate::failure::{followed, os, unprinted};
use crate::output::{Replaces, Unfinished, sync};
use crate::read_only::ReadOnly;
use crate::streams;
use anyhow::{Context as _, anyhow, ensure};
use cachemaint::dax;
use cachemaint_store::{Blob, Error, ErrorKind, Reader};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a blob to standard output
///
/// Each byte is verified before it is written. If the blob is damaged, the command stops with exit code 1. The file is only
/// read, so another process may write it meanwhile.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The name of the blob
    name: String,
    /// Write the blob to this file instead. An existing file is replaced once the whole blob is written; only its owner can
    /// read the new file
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Print one JSON document
    #[arg(short, long, requires = "output")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, name, output, json } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = Reader::open(&file).map_err(|failed| named(path, failed.error))?;
    let blob = reader.blob(name).map_err(|error| of_blob(path, name, error))?;
    let loading = Loading { path, name, blob, is_streamed: output.is_none() };
    let Some(output) = output else {
        let mut out = streams::output()?;
        loading.write(&mut out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    loading.replace(output)?;
    if *json {
        let info = loading.blob.info();
        let facts = json!({
            "name": name, "bytes": info.len, "version": info.version, "commit": info.commit,
            "output": output.to_string_lossy()
        });
        text::write_json(&text::Document::of(path, facts))
            .with_context(|| unprinted("the blob is written"))?;
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
    fn write(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let len = self.blob.info().len;
        let mut buffer = vec![0; len.min(PIECE) as usize];
        let mut at = 0;
        while at < len {
            let piece = &mut buffer[..(len - at).min(PIECE) as usize];
            self.blob.read_at(at, piece).map_err(|error| self.ended(at, error))?;
            out.write_all(piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Returns the error, with the number of bytes written before it.
    fn ended(&self, at: u64, error: Error<dax::Error>) -> anyhow::Error {
        let (path, name) = (self.path.display(), visible(self.name.as_bytes()));
        let error = match error.kind() {
            ErrorKind::Replaced => anyhow!(
                "{path}: {name}: it was replaced or deleted during the command; load it again to get the new one"
            ),
            _ => of_blob(self.path, self.name, error),
        };
        if self.is_streamed && at > 0 {
            followed(&error, format_args!("only its first {at} bytes were written"))
        } else {
            error
        }
    }

    /// Replaces a file by a new one, which only this user can read.
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
        let private = |path: &Path| private(path).map_err(|error| os(output, "open", &error));
        let (new, mut file) = Unfinished::create(output, private)?;
        new.complete(Replaces::Any, || {
            self.write(&mut file).map_err(|error| match error.downcast_ref() {
                Some(of_output) => os(output, "write", of_output),
                None => error,
            })?;
            // Without this the new name can be durable before the bytes are.
            sync(&file).map_err(|error| os(output, "fsync", &error))
        })
    }
}

/// Creates a file that only this user can read.
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
