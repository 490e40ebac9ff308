//! `cachemaint journal salvage`.

use super::record::{Form, output, write_skipped};
use super::{named, reader, text, verified};
use crate::commands::progress;
use crate::read_only::ReadOnly;
use crate::standard;
use cachemaint::journal::{Position, Salvaged};
use core::ops::Range;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print every whole record, also after damage, and report the skipped ranges
///
/// The file is opened for reading only, and searched as a whole. One of its superblocks must be whole: repair a copy of
/// a file without any. Records are printed as by `read`. Skipped ranges are reported on standard error, the first 1,000
/// by their positions, and the exit code is 1 then; so it is if the medium has lost bytes, which are skipped. Records
/// after a skipped range may never have been acknowledged.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    #[command(flatten)]
    form: Form,
}

/// Skipped ranges that are reported one by one without `--json`. A crafted file can have one after each record.
const MOST_REPORTED: u64 = 1000;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, form } = arguments;
    let file = ReadOnly::open(path)?.skip_bad_blocks();
    let reader = reader(path, &file)?;
    let mut salvage = reader.salvage();
    let mut out = output()?;
    let mut skipped_ranges = 0;
    let bar = progress::bar_beside_output("salvaging", file.view().len())?;
    let mut line = Vec::new();
    while let Some(salvaged) = salvage.next().transpose().map_err(|error| named(path, error))? {
        line.clear();
        match salvaged {
            Salvaged::Record(record) => {
                form.write(&mut line, [record.position, record.end], &record.payload)?;
            }
            Salvaged::Skipped(skipped) => {
                skipped_ranges += 1;
                if form.is_json() {
                    write_skipped(&mut line, &skipped)?;
                } else if skipped_ranges <= MOST_REPORTED {
                    // It comes after the records before it.
                    out.flush()?;
                    bar.suspend(|| tell_skipped(path, &skipped));
                }
            }
        }
        out.write_all(&line)?;
        progress::show_reached(&bar, reader.head(), salvage.reached());
    }
    bar.finish_and_clear();
    standard::finish(out)?;
    if !form.is_json() && skipped_ranges > MOST_REPORTED {
        text::tell!(
            "cachemaint: {}: {} further ranges were skipped; --json has all of them",
            text::printable(path.display()),
            skipped_ranges - MOST_REPORTED
        );
    }
    let bad_block = file.bad_block();
    if let Some(error) = &bad_block {
        text::tell!("cachemaint: {error}");
    }
    let mut is_whole = skipped_ranges == 0 && bad_block.is_none();
    if is_whole {
        // Records at the end can be missing without a gap before others.
        let found = verified(path, &reader, &progress::bar("verifying")?)?;
        if let Some(damage) = found.damage {
            text::tell!("cachemaint: {}: {damage}", text::printable(path.display()));
            is_whole = false;
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_skipped(path: &Path, skipped: &Range<Position>) {
    text::tell!(
        "cachemaint: {}: skipped positions {} to {}: no valid record is there",
        text::printable(path.display()),
        skipped.start,
        skipped.end
    );
}
