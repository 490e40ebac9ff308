//! `cachemaint preserve save`.

use super::{
    PIECE, Writable, named, of_blob, open, opened, progress, row, text, visible, write_granularity,
};
use crate::commands::missing::or_create;
use crate::commands::placed::refuse_of_another_user;
use crate::commands::unused::has_other_data;
use crate::{files, standard};
use anyhow::{Context as _, anyhow, bail};
use cachemaint::dax::{self, DaxFile, ErrorKind, Guarantee};
use cachemaint::survival::{Event, Stage};
use cachemaint_preserve::{self, Attributes, BlobWriter, FormatError, Reader, Store};
use indicatif::ProgressBar;
use std::fs::{File, Metadata};
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
    /// Create the file, with this number of bytes, and the store, if they are missing: 64K, 16M, 1G. On Unix an existing
    /// file without a store is refused if it belongs to neither this user nor root
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
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let input = Input::open(arguments.input.as_deref())?;
    let (mut writable, is_new) = match arguments.create {
        Some(size) => open_or_create(path, size)?,
        None => (open(path, arguments.grow).map_err(or_create)?, false),
    };
    match save(arguments, &mut writable, input) {
        Ok(saved) => print(arguments, &saved, writable.file.guarantee())
            .with_context(|| text::unprinted_commit(saved.generation))?,
        Err(error) => {
            let Writable { file, store } = writable;
            drop(store);
            if is_new {
                // An empty store is of no use.
                files::discard(path, file);
            }
            return Err(error);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the store in a file, or creates the missing parts. Returns true with a new file, of which nothing is left if
/// the store could not be created.
fn open_or_create(path: &Path, size: u64) -> anyhow::Result<(Writable, bool)> {
    match dax::Options::new().allow_page_granularity().create_new(path, size) {
        Ok(file) => {
            let file = Arc::new(file);
            let store = store_in(path, Arc::clone(&file));
            Ok((store.inspect_err(|_| files::discard(path, file))?, true))
        }
        Err(error) if matches!(error.kind(), ErrorKind::Exists) => {
            Ok((open_or_create_in(path, size)?, false))
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the store in an existing file, or creates it: a crash between the two creations leaves a file without a store.
fn open_or_create_in(path: &Path, size: u64) -> anyhow::Result<Writable> {
    let file = dax::Options::new().allow_page_granularity().open(path)?;
    let is_missing = Reader::open(&file).is_err_and(|failed| {
        matches!(
            failed.error.kind(),
            cachemaint_preserve::ErrorKind::Format(FormatError::Foreign {
                found: [0, 0, 0, 0, 0, 0, 0, 0],
                ..
            })
        )
    });
    let view = file.view();
    let created = created(file.len(), view.guarantee().granularity.bytes() as u64);
    if is_missing && has_other_data(view, view.file(), &created)? {
        bail!("{}: the file has other data than a store; use another file", path.display());
    }
    if is_missing {
        refuse_of_another_user(path, view)?;
    }
    match (is_missing, file.len()) {
        (false, _) => opened(path, file),
        (true, len) if len == size => store_in(path, Arc::new(file)),
        (true, len) => Err(anyhow!(
            "{}: it is there already, with {len} bytes and without a store; create the store with `--create {len}`, or \
             remove the file first",
            path.display()
        )),
    }
}

/// The bytes that a creation writes: the roots, and the log behind them, of which a mirror has a sixty-fourth of the store,
/// from 4 to 64 KiB, in whole units (module `preserve`, the format). A unit is a line, or a page on a file that is persisted
/// by pages, which can have 64 KiB.
fn created(len: u64, unit: u64) -> [[u64; 2]; 5] {
    let capacity = (len / 64).clamp(4096, 65_536).next_multiple_of(unit.max(4096));
    let log = 16_384_u64.next_multiple_of(unit);
    [[0, 104], [4096, 4200], [8192, 8296], [12_288, 12_392], [log, log + 2 * capacity]]
}

fn store_in(path: &Path, file: Arc<DaxFile>) -> anyhow::Result<Writable> {
    let opened = Store::open_or_create(Arc::clone(&file));
    let (store, _) = opened.map_err(|failed| named(path, failed.error))?;
    Ok(Writable { file, store })
}

/// The source of the bytes.
struct Input {
    name: String,
    bytes: Box<dyn Read>,
    /// The number of bytes, if it is known.
    len: Option<u64>,
}

impl Input {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            let (name, bytes) = ("standard input".to_owned(), Box::new(standard::input()?));
            return Ok(Self { name, bytes, len: None });
        };
        let name = path.display().to_string();
        let unreadable = || format!("{name} cannot be read");
        let file = File::open(path).with_context(unreadable)?;
        let metadata = file.metadata().with_context(unreadable)?;
        let len = Some(metadata.len()).filter(|_| has_length(&metadata));
        Ok(Self { name, bytes: Box::new(file), len })
    }

    /// Returns the number of bytes. Where it is not known, all of them are read into memory.
    fn measured(&mut self) -> anyhow::Result<u64> {
        if let Some(len) = self.len {
            return Ok(len);
        }
        let mut all = Vec::new();
        let read = self.bytes.read_to_end(&mut all);
        let len = read.with_context(|| format!("{} cannot be read", self.name))? as u64;
        (self.bytes, self.len) = (Box::new(io::Cursor::new(all)), Some(len));
        Ok(len)
    }

    /// Reads the next bytes; none at the end.
    fn next(&mut self, into: &mut Vec<u8>) -> anyhow::Result<()> {
        into.clear();
        let read = self.bytes.by_ref().take(PIECE).read_to_end(into);
        read.with_context(|| format!("{} cannot be read", self.name))?;
        Ok(())
    }
}

/// Returns true if a file has as many bytes as it states. Files of the kernel do not: those of procfs state 0 bytes, those
/// of sysfs a page, for any contents. They have no blocks. Other files without blocks are short, or holes.
fn has_length(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    let has_blocks = std::os::unix::fs::MetadataExt::blocks(metadata) > 0;
    #[cfg(not(unix))]
    let has_blocks = true;
    metadata.is_file() && metadata.len() > 0 && has_blocks
}

/// The result of saving a blob.
struct Saved {
    bytes: u64,
    generation: u64,
    has_replaced: bool,
}

fn save(arguments: &Arguments, writable: &mut Writable, mut input: Input) -> anyhow::Result<Saved> {
    let Arguments { file: path, name, version, metadata, align, .. } = arguments;
    let Writable { file, store } = writable;
    let wrong = |error| of_blob(path, name, error);
    let len = input.measured()?;
    let attributes = Attributes::new(name).version(*version).metadata(metadata.as_bytes());
    let attributes = align.iter().fold(attributes, |some, align| some.alignment(*align));
    let mut transaction = store.begin().map_err(wrong)?;
    let has_replaced = transaction.contains(name);
    let bar = progress::bar("saving")?;
    bar.set_length(len);
    let mut has_changed = false;
    let put = transaction.put_with(attributes, len, |writer| {
        let copied = copy(&mut input, file, writer, &bar);
        has_changed = copied.as_ref().is_ok_and(|bytes| *bytes != len);
        copied
    });
    let bytes = match put.map_err(anyhow::Error::downcast) {
        Ok(bytes) => bytes,
        Err(_) if has_changed => bail!(
            "{}: {}: the blob was not stored: {} has changed while it was read, so save it again",
            path.display(),
            visible(name.as_bytes()),
            input.name
        ),
        Err(Ok(error)) => return Err(wrong(error)),
        Err(Err(error)) => return Err(error),
    };
    let generation = transaction.commit().map_err(wrong)?;
    bar.finish_and_clear();
    Ok(Saved { bytes, generation, has_replaced })
}

/// Copies the input, and returns the number of its bytes, or a higher number than announced if there are more.
fn copy(
    input: &mut Input,
    file: &DaxFile,
    writer: &mut BlobWriter<'_, Arc<DaxFile>>,
    bar: &ProgressBar,
) -> anyhow::Result<u64> {
    let mut piece = Vec::new();
    loop {
        input.next(&mut piece)?;
        if piece.is_empty() {
            return Ok(writer.written());
        }
        let len = writer.written() + piece.len() as u64;
        if input.len.is_some_and(|said| len > said) {
            return Ok(len);
        }
        // A file that was cut ends the copy at once, not after all of the input.
        writer.append(&piece)?;
        file.check()?;
        bar.set_position(writer.written());
    }
}

fn print(arguments: &Arguments, saved: &Saved, guarantee: &Guarantee) -> io::Result<()> {
    let out = &mut anstream::stdout().lock();
    let Saved { bytes, generation, has_replaced } = saved;
    let what = if *has_replaced { "replaced" } else { "saved" };
    let name = visible(arguments.name.as_bytes());
    row(out, what, format!("{name}, {} bytes", text::thousands(*bytes)))?;
    row(out, "generation", generation)?;
    write_granularity(out, guarantee)?;
    let survives =
        |event: &Event| format!("{event}: {}", guarantee.survives(Stage::Persisted, *event).answer);
    row(out, "survives", Event::ALL.iter().map(survives).collect::<Vec<_>>().join("; "))?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::{created, has_other_data};
    use cachemaint::dax;
    use cachemaint_preserve::Options;

    #[test]
    fn a_creation_that_was_cut_off_is_not_other_data() {
        let directory = tempfile::tempdir().unwrap();
        for (unit, len) in
            [(64, 65_536), (64, 1 << 20), (4096, 1 << 20), (65_536, (1 << 20) + 61_440)]
        {
            let path = directory.path().join(format!("{unit}-{len}"));
            let options = dax::Options::new().allow_page_granularity();
            let file = options.create_new(&path, len).unwrap();
            drop(Options::new().unit(unit).create_new(file).unwrap());
            let file = options.open(&path).unwrap();
            let created = created(len, unit);
            assert!(!has_other_data(&file, file.file(), &created).unwrap(), "{unit}, {len}");
            file.write(len / 2, &[1; 8]);
            assert!(has_other_data(&file, file.file(), &created).unwrap(), "{unit}, {len}");
        }
    }
}
