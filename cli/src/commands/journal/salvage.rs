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
/// The file is opened for reading only, and searched as a whole. One of its superblocks must be whole: repair a copy of a
/// file without any. Records are printed as by `read`. Skipped ranges are reported on standard error, the first 1,000 by
/// their positions, and the exit code is 1 then. Records after a skipped range may never have been acknowledged.
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
    let file = ReadOnly::open(path)?;
    let reader = reader(path, &file)?;
    // Guarded, as `salvage` reads the superblocks.
    let mut salvage = file.guarded(|| reader.salvage())?;
    let mut out = output()?;
    let mut skipped_ranges = 0;
    let bar = progress::bar_beside_output("salvaging", file.view().len())?;
    let (mut lines, mut is_over) = (Vec::new(), false);
    while !is_over {
        // A range that is reported one by one comes after the records before it.
        let mut reported = None;
        let read = file.read_together(&mut lines, |lines| {
            match salvage.next().transpose().map_err(|error| named(path, error))? {
                None => is_over = true,
                Some(Salvaged::Record(record)) => {
                    form.write(lines, [record.position, record.end], &record.payload)?;
                }
                Some(Salvaged::Skipped(skipped)) => {
                    skipped_ranges += 1;
                    if form.is_json() {
                        write_skipped(lines, &skipped)?;
                    } else if skipped_ranges <= MOST_REPORTED {
                        reported = Some(skipped);
                    }
                }
            }
            Ok(!is_over && reported.is_none())
        });
        progress::show_reached(&bar, reader.head(), salvage.reached());
        out.write_all(&lines)?;
        read?;
        if let Some(skipped) = reported {
            out.flush()?;
            bar.suspend(|| tell_skipped(path, &skipped));
        }
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
    let mut is_whole = skipped_ranges == 0;
    if is_whole {
        // Records at the end can be missing without a gap before others.
        let found = verified(path, &file, &reader, &progress::bar("verifying")?)?;
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
