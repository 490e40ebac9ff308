//! `cachemaint journal salvage`.

use super::read::{Form, Shown};
use super::{DaxJournal, named, reader, text, verified};
use crate::commands::{os, progress};
use crate::output;
use crate::read_only::ReadOnly;
use anyhow::ensure;
use cachemaint::dax;
use cachemaint_journal::{Options, Reader, Salvaged};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Print every whole record, also after damage, and report the skipped ranges
///
/// The file is opened for reading only, and searched as a whole. Records are printed as by `read`, or appended to a new
/// journal (`--into`), which takes the place of the damaged one. Skipped ranges are reported on standard error, the first 1,000
/// by their positions, and the exit code is 1 then; so it is if the medium has lost bytes, which are skipped. Records
/// after a skipped range may never have been acknowledged.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Make a new journal of the records in this file, which must not exist, and print their number. It is in
    /// NEW.unfinished until it is complete
    #[arg(long, value_name = "NEW", conflicts_with_all = ["raw", "json"])]
    into: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// Skipped ranges that are reported one by one without `--json`. A crafted file can have one after each record.
const MOST_REPORTED: u64 = 1000;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, into, form } = arguments;
    let file = ReadOnly::open(path)?.skip_bad_blocks();
    let reader = reader(path, &file)?;
    let mut salvage = reader.salvage().map_err(|error| named(path, error))?;
    let mut new = into.as_deref().map(|into| New::create(into, &file, &reader)).transpose()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut skipped_ranges = 0;
    let bar = progress::bar_beside_output("salvaging", file.view().len())?;
    let mut line = Vec::new();
    while let Some(salvaged) = salvage.next().transpose().map_err(|error| named(path, error))? {
        line.clear();
        match salvaged {
            Salvaged::Record(record) => match &mut new {
                Some(new) => new.push(&record.payload)?,
                None => form.write(&mut line, [record.position, record.end], &record.payload)?,
            },
            Salvaged::Skipped(skipped) => {
                skipped_ranges += 1;
                if form.json {
                    text::write_json_line(&mut line, &Shown::Skipped { skipped: &skipped })?;
                } else if skipped_ranges <= MOST_REPORTED {
                    // It comes after the records before it.
                    out.flush()?;
                    bar.suspend(|| {
                        text::tell!(
                            "{}: skipped positions {} to {}: no valid record is there",
                            path.display(),
                            skipped.start,
                            skipped.end
                        );
                    });
                }
            }
        }
        out.write_all(&line)?;
        progress::show_reached(&bar, reader.head(), salvage.reached());
    }
    bar.finish_and_clear();
    out.flush()?;
    if let Some(new) = new {
        let into = text::printable(new.path.display());
        let records = new.finish()?;
        text::report(|out| writeln!(out, "{records} records are in {into}"))?;
    }
    if !form.json && skipped_ranges > MOST_REPORTED {
        text::tell!(
            "{}: {} further ranges were skipped; --json has all of them",
            path.display(),
            skipped_ranges - MOST_REPORTED
        );
    }
    let bad_block = file.bad_block();
    if let Some(error) = bad_block {
        text::tell!("{error}");
    }
    let mut is_whole = skipped_ranges == 0 && bad_block.is_none();
    if is_whole {
        // Records at the end can be missing without a gap before others.
        let found = verified(path, &reader, "verifying")?;
        if let Some(damage) = found.damage {
            text::tell!("{}: {damage}", path.display());
            is_whole = false;
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A journal that is made of salvaged records. It has its name only when it is complete: until then, and after a signal or
/// a loss of power, it is beside that place. The file is removed if that fails.
struct New<'a> {
    path: &'a Path,
    unfinished: PathBuf,
    journal: DaxJournal,
    records: u64,
}

impl<'a> New<'a> {
    /// Creates a journal with the sizes of the salvaged one.
    fn create(path: &'a Path, old: &ReadOnly, reader: &Reader<&ReadOnly>) -> anyhow::Result<Self> {
        ensure!(!path.exists(), "{}: exists already; name a new file", path.display());
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let options = dax::Options::new().allow_page_granularity();
        let file = options.create_new(&unfinished, old.view().len());
        let file = file?;
        let created = Options::new().sizes_of(reader).create_new(Arc::new(file));
        let (journal, _) = created
            .map_err(|failed| named(path, failed))
            .inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        Ok(Self { path, unfinished, journal, records: 0 })
    }

    fn push(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        self.journal.append(payload).map_err(|error| named(self.path, error))?;
        self.records += 1;
        Ok(())
    }

    /// Gives the journal its name. Returns the number of its records.
    fn finish(self) -> anyhow::Result<u64> {
        let trimmed = self.journal.trim(self.journal.head());
        trimmed.map_err(|error| named(self.path, error))?;
        output::rename(&self.unfinished, self.path)
            .map_err(|error| os(self.path, "link", &error))?;
        #[cfg(unix)]
        {
            let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            match File::open(parent.unwrap_or(Path::new("."))) {
                // Who may not read the directory cannot sync it. A journal is created there, too.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                opened => opened
                    .and_then(|parent| output::sync(&parent))
                    .map_err(|error| os(self.path, "fsync of its directory", &error))?,
            }
        }
        Ok(self.records)
    }
}

impl Drop for New<'_> {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.unfinished));
    }
}
