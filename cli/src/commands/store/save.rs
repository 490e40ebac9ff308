//! `cachemaint store save`.

use super::{
    PIECE, Writable, named, of_blob, opened, print_commit, row, text, visible, write_granularity,
};
use crate::commands::{open_or_create, or_create};
use crate::failure::os;
use crate::read_only::ReadOnly;
use crate::streams;
use cachemaint::dax::{DaxFile, ErrorKind};
use cachemaint::medium::Readable as _;
use cachemaint_inspect::FileReport;
use cachemaint_inspect::survival::{Event, Stage};
use cachemaint_store::{Attributes, Reader, Store};
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tempfile::SpooledTempFile;

/// Save standard input as a blob, replacing any blob of the same name
///
/// If the command succeeds, the blob is as persistent as the file allows, and the report names the events that it survives.
/// If the command is killed first, the blob is unchanged. The file needs space for both the old and the new blob. Long
/// input from a pipe is kept in a temporary file ($TMPDIR) until it ends.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The name of the blob, up to 255 bytes
    name: String,
    /// Create the file with this size if it is missing: 64K, 16M, 1G
    #[arg(long, value_name = "SIZE", value_parser = text::size)]
    create: Option<u64>,
    /// Extend the file to this size first
    #[arg(long, value_name = "SIZE", value_parser = text::size, conflicts_with = "create")]
    grow: Option<u64>,
    /// A number stored with the blob, such as the version of its layout
    #[arg(long, value_name = "N", default_value_t = 0)]
    blob_version: u64,
    /// Text stored with the blob, up to 4096 bytes
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    metadata: String,
    /// Place the blob at a multiple of this power of two in the file
    #[arg(long, value_name = "BYTES", value_parser = text::size)]
    align: Option<u64>,
    /// Save this file instead of standard input
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, name, create, blob_version, json: as_json, .. } = arguments;
    let (input, len) = open_input(arguments.input.as_deref(), most(arguments)?)?;
    let (mut writable, created) = open_or_create(
        path,
        *create,
        |file| {
            let file = Arc::new(file);
            let created = Store::create_new(Arc::clone(&file));
            let (store, _) = created.map_err(|failed| named(path, failed.error))?;
            Ok(Writable { file, store })
        },
        |file| grown(path, file, arguments.grow),
    )?;
    let (commit, has_replaced) = save(arguments, &mut writable, input, len)?;
    let report = FileReport::of(writable.file.view())?;
    let facts = json!({
        "created": created, "name": name, "bytes": len, "version": blob_version, "replaced": has_replaced,
        "guarantee": &report
    });
    print_commit(*as_json, path, commit, facts, |out| {
        print(out, arguments, [len, commit], has_replaced, &report)
    })
}

/// Returns the bytes of the file as it will be, which no blob in it can exceed.
fn most(arguments: &Arguments) -> anyhow::Result<u64> {
    match (ReadOnly::open(&arguments.file), arguments.create) {
        (Ok(file), _) => Ok(file.len().max(arguments.grow.unwrap_or(0))),
        (Err(error), Some(size)) if matches!(error.kind(), ErrorKind::NotFound) => Ok(size),
        (Err(error), _) => Err(or_create(error)),
    }
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

/// Bytes of an input of unknown length that are kept in memory.
const IN_MEMORY: usize = 8 << 20;

/// Returns the bytes to save, and their number. Of an input that states no length, no more are read than show that it is longer
/// than `most`.
fn open_input(path: Option<&Path>, most: u64) -> anyhow::Result<(Box<dyn Read>, u64)> {
    let shown = path.unwrap_or(Path::new("standard input"));
    let unreadable = |error: io::Error| os(shown, "read", &error);
    let input: Box<dyn Read> = match path {
        None => Box::new(streams::input()?),
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
    let mut spool = SpooledTempFile::new(IN_MEMORY);
    let mut input = input.take(most.saturating_add(1));
    let mut piece = vec![0; most.clamp(1, PIECE) as usize];
    let mut len = 0;
    loop {
        let read = match input.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(unreadable)?,
        };
        if read == 0 {
            break;
        }
        let unspooled = |error| os(std::env::temp_dir(), "write", &error);
        spool.write_all(&piece[..read]).map_err(unspooled)?;
        len += read as u64;
    }
    spool.rewind().map_err(unreadable)?;
    Ok((Box::new(spool), len))
}

/// Saves the first `len` bytes of the input. Returns the commit, and true if there was a blob of the name before.
fn save(
    arguments: &Arguments,
    writable: &mut Writable,
    input: Box<dyn Read>,
    len: u64,
) -> anyhow::Result<(u64, bool)> {
    let Arguments { file: path, name, blob_version, metadata, align, .. } = arguments;
    let Writable { file, store } = writable;
    let wrong = |error| of_blob(path, name, error);
    let attributes = Attributes::new(name).version(*blob_version).metadata(metadata.as_bytes());
    let attributes = align.iter().fold(attributes, |some, align| some.alignment(*align));
    let mut transaction = store.begin().map_err(wrong)?;
    let has_replaced = transaction.contains(name);
    let put = transaction.put_with(attributes, len, |writer| {
        let (mut input, mut piece) = (input.take(len), vec![0; len.min(PIECE) as usize]);
        loop {
            let read = input.read(&mut piece).map_err(|error| os("the input", "read", &error))?;
            if read == 0 {
                return Ok(());
            }
            writer.append(&piece[..read])?;
            // A truncated file ends the copy at once, not after all of the input.
            file.check()?;
        }
    });
    put.map_err(|error: anyhow::Error| match error.downcast() {
        Ok(error) => wrong(error),
        Err(error) => error,
    })?;
    let commit = transaction.commit().map_err(wrong)?;
    Ok((commit, has_replaced))
}

fn print(
    out: &mut impl Write,
    arguments: &Arguments,
    [bytes, commit]: [u64; 2],
    has_replaced: bool,
    report: &FileReport,
) -> io::Result<()> {
    let what = if has_replaced { "replaced" } else { "saved" };
    let name = visible(arguments.name.as_bytes());
    row(out, what, format!("{name}, {} bytes", text::thousands(bytes)))?;
    row(out, "commit", commit)?;
    write_granularity(out, report)?;
    let survives =
        |event: &Event| format!("{event}: {}", report.survives(Stage::Persisted, *event).answer);
    row(out, "survives", Event::ALL.iter().map(survives).collect::<Vec<_>>().join("; "))
}
