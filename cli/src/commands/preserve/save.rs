//! `cachemaint preserve save`.

use super::{
    PIECE, Writable, named, of_blob, open, progress, row, text, visible, write_granularity,
};
use crate::faults;
use anyhow::{Context as _, anyhow};
use cachemaint::dax::{self, Guarantee};
use cachemaint::preserve::{Attributes, Error, Options};
use cachemaint::report::{Event, Progress};
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Save standard input as a blob, in place of one of the same name
///
/// When the command has ended well the blob is persistent, as far as the file goes: what that means is said. When
/// it is killed before, the blob is as it was. There must be room for the old one and the new one.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The name of the blob: up to 255 bytes
    name: String,
    /// Create the file first, with so many bytes: 64K, 16M, 1G
    #[arg(long, value_name = "SIZE", value_parser = text::size)]
    create: Option<u64>,
    /// Make the file longer first, so that it has so many bytes
    #[arg(long, value_name = "SIZE", value_parser = text::size, conflicts_with = "create")]
    grow: Option<u64>,
    /// A number of yours that is kept with the blob: of the layout of its bytes, say
    #[arg(long, value_name = "N", default_value_t = 0)]
    version: u64,
    /// Text of yours that is kept with the blob: up to 4096 bytes
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    metadata: String,
    /// Begin the blob at a multiple of this in the file, a power of two
    #[arg(long, value_name = "BYTES", value_parser = text::size)]
    align: Option<u64>,
    /// Save the bytes of this file instead of standard input
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let input = Input::open(arguments.input.as_deref())?;
    let mut writable = match arguments.create {
        Some(size) => create(path, size)?,
        None => open(path, arguments.grow)?,
    };
    match save(arguments, &mut writable, input) {
        Ok(saved) => print(arguments, &saved, writable.file.guarantee())?,
        Err(error) => {
            drop(writable);
            if arguments.create.is_some() {
                // The error that is told is the first one: an empty store is of no use.
                drop(fs::remove_file(path));
            }
            return Err(error);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Creates a store in a new file. Nothing is left of one that could not be made.
fn create(path: &Path, size: u64) -> anyhow::Result<Writable> {
    let file = Arc::new(dax::Options::new().allow_page_granularity().create(path, size)?);
    let created = faults::guarded(&file, || Options::new().create_file(Arc::clone(&file)));
    let store = created
        .and_then(|created| created.map_err(|error| named(path, error)))
        .inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(Writable { file, store })
}

/// Where the bytes come from.
struct Input {
    name: String,
    bytes: Box<dyn Read>,
    /// How many there are, if that is known.
    len: Option<u64>,
}

impl Input {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            let (name, bytes) = ("standard input".to_owned(), Box::new(io::stdin().lock()));
            return Ok(Self { name, bytes, len: None });
        };
        let name = path.display().to_string();
        let unreadable = || format!("{name} cannot be read");
        let file = File::open(path).with_context(unreadable)?;
        let metadata = file.metadata().with_context(unreadable)?;
        // Files of the kernel say 0, whatever is in them.
        let len = Some(metadata.len()).filter(|len| metadata.is_file() && *len > 0);
        Ok(Self { name, bytes: Box::new(file), len })
    }

    /// The next bytes; none at the end.
    fn next(&mut self, into: &mut Vec<u8>) -> anyhow::Result<()> {
        into.clear();
        let read = self.bytes.by_ref().take(PIECE).read_to_end(into);
        read.with_context(|| format!("{} cannot be read", self.name))?;
        Ok(())
    }
}

/// What was saved.
struct Saved {
    bytes: u64,
    generation: u64,
    has_replaced: bool,
}

fn save(arguments: &Arguments, writable: &mut Writable, mut input: Input) -> anyhow::Result<Saved> {
    let Arguments { file: path, name, version, metadata, align, .. } = arguments;
    let Writable { file, store } = writable;
    let wrong = |error| of_blob(path, name, error);
    let attributes = Attributes::new(name).version(*version).metadata(metadata.as_bytes());
    let attributes = align.iter().fold(attributes, |some, align| some.alignment(*align));
    let mut transaction = faults::guarded(file, || store.begin())?.map_err(wrong)?;
    let has_replaced = transaction.contains(name);
    let writer = faults::guarded(file, || transaction.writer(attributes, input.len))?;
    let mut writer = writer.map_err(wrong)?;
    let bar = match input.len {
        Some(_) => progress::bar("saving")?,
        None => ProgressBar::hidden(),
    };
    bar.set_length(input.len.unwrap_or(0));
    let mut piece = Vec::new();
    loop {
        input.next(&mut piece)?;
        if piece.is_empty() {
            break;
        }
        faults::guarded(file, || writer.write(&piece))?
            .map_err(|error| changed(path, name, &input, error))?;
        bar.set_position(writer.written());
    }
    let bytes = writer.written();
    faults::guarded(file, || writer.finish())?
        .map_err(|error| changed(path, name, &input, error))?;
    let generation = faults::guarded(file, || transaction.commit())?.map_err(wrong)?;
    bar.finish_and_clear();
    Ok(Saved { bytes, generation, has_replaced })
}

/// The error, if need be with why the input has another length than it had.
fn changed(path: &Path, name: &str, input: &Input, error: Error<dax::Error>) -> anyhow::Error {
    match error {
        error @ Error::Length { .. } => anyhow!(
            "{}: {}: {error}; {} has changed while it was read, so save it again",
            path.display(),
            visible(name.as_bytes()),
            input.name
        ),
        error => of_blob(path, name, error),
    }
}

fn print(arguments: &Arguments, saved: &Saved, guarantee: &Guarantee) -> anyhow::Result<()> {
    let out = &mut anstream::stdout().lock();
    let Saved { bytes, generation, has_replaced } = saved;
    let what = if *has_replaced { "replaced" } else { "saved" };
    let name = visible(arguments.name.as_bytes());
    row(out, what, format!("{name}, {} bytes", text::thousands(*bytes)))?;
    row(out, "generation", generation)?;
    write_granularity(out, guarantee)?;
    let survives = |event: Event| {
        format!("{}: {}", event.name(), guarantee.survives(Progress::Persisted, event))
    };
    row(out, "survives", Event::ALL.map(survives).join("; "))?;
    out.flush()?;
    Ok(())
}
