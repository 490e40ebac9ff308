//! `cachemaint store save`.

use super::{
    PIECE, Writable, named, of_blob, opened, progress, row, text, visible, write_granularity,
};
use crate::commands::{self, or_create, os};
use crate::standard;
use anyhow::Context as _;
use cachemaint::dax::{DaxFile, Guarantee};
use cachemaint::survival::{Event, Stage};
use cachemaint_store::{Attributes, Reader, Store};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Save standard input as a blob, which replaces one of the same name
///
/// When the command has succeeded, the blob is persistent as far as the file allows, and the command prints the events
/// it survives. If the command is killed before, the blob is as it was. The file needs space for the old blob
/// and the new one. Bytes from a pipe are kept in memory until they are saved.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The name of the blob: up to 255 bytes
    name: String,
    /// Create the file, with this number of bytes, and a store in it, if it is missing: 64K, 16M, 1G
    #[arg(long, value_name = "SIZE", value_parser = text::size)]
    create: Option<u64>,
    /// Extend the file to this size first
    #[arg(long, value_name = "SIZE", value_parser = text::size, conflicts_with = "create")]
    grow: Option<u64>,
    /// A number of your choice that is kept with the blob, such as a version of its layout
    #[arg(long, value_name = "N", default_value_t = 0)]
    version: u64,
    /// Text of your choice that is kept with the blob: up to 4096 bytes
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    metadata: String,
    /// Begin the blob at a multiple of this power of two in the file
    #[arg(long, value_name = "BYTES", value_parser = text::size)]
    align: Option<u64>,
    /// Save the bytes of this file instead of standard input
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let (input, len) = open_input(arguments.input.as_deref())?;
    let mut writable = if let Some(size) = arguments.create {
        open_or_create(path, size)?
    } else {
        grown(path, commands::open(path).map_err(or_create)?, arguments.grow)?
    };
    let (commit, has_replaced) = save(arguments, &mut writable, input, len)?;
    let guarantee = writable.file.guarantee();
    text::report(|out| print(out, arguments, [len, commit], has_replaced, guarantee))
        .with_context(|| text::unprinted_commit(commit))?;
    Ok(ExitCode::SUCCESS)
}

/// Creates the file and a store in it, or opens the store that is there. A file in which no store could be created is
/// removed.
fn open_or_create(path: &Path, size: u64) -> anyhow::Result<Writable> {
    let Some(file) = commands::create(path, size)? else {
        return opened(path, commands::open(path)?);
    };
    let file = Arc::new(file);
    let created = Store::create_new(Arc::clone(&file)).map_err(|failed| named(path, failed.error));
    let (store, _) = created.inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(Writable { file, store })
}

/// Opens the store in a file, which is extended first if a length is given.
fn grown(path: &Path, mut file: DaxFile, len: Option<u64>) -> anyhow::Result<Writable> {
    if let Some(len) = len {
        // A file without a store is left as it is.
        Reader::open(&file).map_err(|failed| named(path, failed.error))?;
        file.grow(len)?;
    }
    opened(path, file)
}

/// Returns the bytes to save, and their number. All bytes of a pipe are read into memory.
fn open_input(path: Option<&Path>) -> anyhow::Result<(Box<dyn Read>, u64)> {
    let unreadable =
        |error: io::Error| os(path.unwrap_or(Path::new("standard input")), "read", &error);
    let mut input: Box<dyn Read> = match path {
        None => Box::new(standard::input()?),
        Some(path) => {
            let file = File::open(path).map_err(|error| os(path, "open", &error))?;
            let found = file.metadata().map_err(unreadable)?;
            // Files of `/proc` state no length.
            if found.is_file() && found.len() > 0 {
                return Ok((Box::new(file), found.len()));
            }
            Box::new(file)
        }
    };
    let mut all = Vec::new();
    let len = input.read_to_end(&mut all).map_err(unreadable)?;
    Ok((Box::new(io::Cursor::new(all)), len as u64))
}

/// Saves the first `len` bytes of the input. Returns the commit, and true if there was a blob of the name before.
fn save(
    arguments: &Arguments,
    writable: &mut Writable,
    input: Box<dyn Read>,
    len: u64,
) -> anyhow::Result<(u64, bool)> {
    let Arguments { file: path, name, version, metadata, align, .. } = arguments;
    let Writable { file, store } = writable;
    let wrong = |error| of_blob(path, name, error);
    let attributes = Attributes::new(name).version(*version).metadata(metadata.as_bytes());
    let attributes = align.iter().fold(attributes, |some, align| some.alignment(*align));
    let mut transaction = store.begin().map_err(wrong)?;
    let has_replaced = transaction.contains(name);
    let bar = progress::bar("saving")?;
    bar.set_length(len);
    let put = transaction.put_with(attributes, len, |writer| {
        let (mut input, mut piece) = (input.take(len), vec![0; len.min(PIECE) as usize]);
        loop {
            let read = input.read(&mut piece).map_err(|error| os("the input", "read", &error))?;
            if read == 0 {
                return Ok(());
            }
            writer.append(&piece[..read])?;
            // A file that was cut ends the copy at once, not after all of the input.
            file.check()?;
            bar.set_position(writer.written());
        }
    });
    put.map_err(|error: anyhow::Error| match error.downcast() {
        Ok(error) => wrong(error),
        Err(error) => error,
    })?;
    let commit = transaction.commit().map_err(wrong)?;
    bar.finish_and_clear();
    Ok((commit, has_replaced))
}

fn print(
    out: &mut impl Write,
    arguments: &Arguments,
    [bytes, commit]: [u64; 2],
    has_replaced: bool,
    guarantee: &Guarantee,
) -> io::Result<()> {
    let what = if has_replaced { "replaced" } else { "saved" };
    let name = visible(arguments.name.as_bytes());
    row(out, what, format!("{name}, {} bytes", text::thousands(bytes)))?;
    row(out, "commit", commit)?;
    write_granularity(out, guarantee)?;
    let survives =
        |event: &Event| format!("{event}: {}", guarantee.survives(Stage::Persisted, *event).answer);
    row(out, "survives", Event::ALL.iter().map(survives).collect::<Vec<_>>().join("; "))
}
