//! The output of records.

use crate::commands::payload::{Payload, visible};
use crate::commands::text;
use crate::standard;
use cachemaint::journal::{Position, Record};
use core::ops::Range;
use serde::Serialize;
use std::io::{BufWriter, Write};

/// The form of records on standard output.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(super) struct Form {
    /// Write the payloads as they are, each with a newline after it
    #[arg(long)]
    raw: bool,
    /// Print a JSON object for each record, one per line
    #[arg(long)]
    json: bool,
}

impl Form {
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a record.
    pub(super) fn write(&self, out: &mut impl Write, record: &Record) -> anyhow::Result<()> {
        if self.raw {
            out.write_all(&record.payload)?;
            out.write_all(b"\n")?;
        } else if self.json {
            write_line(out, &Shown::of(record))?;
        } else {
            writeln!(out, "{}", visible(&record.payload))?;
        }
        Ok(())
    }
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'r> {
    Record {
        position: Position,
        end: Position,
        #[serde(flatten)]
        payload: Payload<'r>,
    },
    Skipped {
        skipped: &'r Range<Position>,
    },
}

impl<'r> Shown<'r> {
    fn of(record: &'r Record) -> Self {
        let Record { position, end, payload, .. } = record;
        Self::Record { position: *position, end: *end, payload: Payload::of(payload) }
    }
}

/// Writes a skipped range as a line of JSON.
pub(super) fn write_skipped(out: &mut impl Write, skipped: &Range<Position>) -> anyhow::Result<()> {
    write_line(out, &Shown::Skipped { skipped })
}

fn write_line(out: &mut impl Write, line: &Shown<'_>) -> anyhow::Result<()> {
    writeln!(out, "{}", text::json_line(line)?)?;
    Ok(())
}

/// Returns standard output for many short lines. It must be finished, so that a full disk is noticed.
pub(super) fn output() -> anyhow::Result<BufWriter<standard::Output>> {
    standard::output_or_closed().map(BufWriter::new)
}
