//! `cachemaint journal salvage`.

use super::read::Form;
use super::{DaxJournal, named, reader, text, verified};
use crate::commands::create_new;
use crate::failure::unprinted;
use crate::output::{Replaces, Unfinished};
use crate::read_only::ReadOnly;
use crate::streams;
use anyhow::{Context as _, ensure};
use cachemaint::medium::Readable as _;
use cachemaint_journal::{Options, Position, Reader, Salvage, Salvaged};
use core::ops::Range;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Print every intact record, including those after damage
///
/// With --into, the records are copied to a new journal, which can replace the damaged one. Otherwise they are printed as
/// in `journal read`.
///
/// The exit code is 1 if anything was skipped, such as bytes that the medium has lost. Standard error shows the number of
/// skipped ranges and the first one; --json lists all of them. Records after a skipped range may never have been
/// acknowledged. The file is only read.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Copy the records to a new journal in this file, which must not exist, and print their number
    #[arg(long, value_name = "NEW", conflicts_with = "raw")]
    into: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, into, form } = arguments;
    let file = ReadOnly::open(path)?.skip_bad_blocks();
    let reader = reader(path, &file)?;
    let mut found = Found {
        path,
        salvage: reader.salvage().map_err(|error| named(path, error))?,
        skipped: 0,
        first: None,
    };
    if let Some(into) = into {
        make(into, &file, &reader, &mut found, form.json)?;
    } else {
        let (mut out, mut line) = (streams::output()?, Vec::new());
        found.for_each(|salvaged| {
            line.clear();
            match salvaged {
                Salvaged::Record(record) => {
                    form.write(&mut line, [record.position, record.end], &record.payload)?;
                }
                Salvaged::Skipped(skipped) if form.json => {
                    text::write_json_line(&mut line, &json!({"skipped": skipped}))?;
                }
                Salvaged::Skipped(_) => {}
            }
            Ok(out.write_all(&line)?)
        })?;
        out.flush()?;
    }
    let Found { skipped, first, .. } = found;
    if let Some(first) = first {
        text::tell!(
            "{}: ranges without a valid record: {skipped}, the first from position {} to {}",
            path.display(),
            first.start,
            first.end
        );
    }
    let bad_block = file.bad_block();
    if let Some(error) = bad_block {
        text::tell!("{error}");
    }
    let mut is_whole = skipped == 0 && bad_block.is_none();
    if is_whole {
        // Records at the end can be missing without a gap before others.
        if let Some(damage) = verified(path, &reader)?.damage {
            text::tell!("{}: {damage}", path.display());
            is_whole = false;
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The records of a journal, and the skipped ranges so far.
struct Found<'a> {
    path: &'a Path,
    salvage: Salvage<'a, &'a ReadOnly>,
    skipped: u64,
    first: Option<Range<Position>>,
}

impl Found<'_> {
    fn for_each(
        &mut self,
        mut take: impl FnMut(&Salvaged) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while let Some(salvaged) = self.salvage.next() {
            let salvaged = salvaged.map_err(|error| named(self.path, error))?;
            take(&salvaged)?;
            if let Salvaged::Skipped(skipped) = salvaged {
                self.skipped += 1;
                self.first.get_or_insert(skipped);
            }
        }
        Ok(())
    }
}

/// Makes a new journal of the records, with the sizes of the salvaged one.
fn make(
    into: &Path,
    old: &ReadOnly,
    reader: &Reader<&ReadOnly>,
    found: &mut Found<'_>,
    is_json: bool,
) -> anyhow::Result<()> {
    ensure!(!into.exists(), "{}: exists already; name a new file", into.display());
    let (new, file) = Unfinished::create(into, |path| create_new(path, old.len()))?;
    let records = new.complete(Replaces::None, || {
        let named = |error| named(into, error);
        let created = Options::new().sizes_of(reader).create_new(Arc::new(file));
        let (journal, _): (DaxJournal, _) = created.map_err(|failed| named(failed.error))?;
        let mut records = 0_u64;
        found.for_each(|salvaged| {
            if let Salvaged::Record(record) = salvaged {
                journal.append(&record.payload).map_err(named)?;
                records += 1;
            }
            Ok(())
        })?;
        journal.trim(journal.head()).map_err(named)?;
        Ok(records)
    })?;
    let document = text::Document::of(
        found.path,
        json!({
            "into": into.to_string_lossy(), "records": records, "skipped": found.skipped
        }),
    );
    text::print(is_json, &document, |out| {
        writeln!(out, "records in {}: {records}", text::printable(into.display()))
    })
    .with_context(|| unprinted(format_args!("records in {}: {records}", into.display())))
}
