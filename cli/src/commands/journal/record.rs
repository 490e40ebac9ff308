//! How records are shown.

use crate::commands::payload::{Payload, visible};
use crate::commands::text;
use cachemaint::journal::{Position, Record};
use core::ops::Range;
use serde::Serialize;
use std::io::{self, Write};

/// How records are written to standard output.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(super) struct Form {
    /// Write the payloads as they are, each with a newline behind it
    #[arg(long)]
    raw: bool,
    /// Print a JSON object for each record, one a line
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

/// Writes what was skipped as a line of JSON.
pub(super) fn write_skipped(out: &mut impl Write, skipped: &Range<Position>) -> anyhow::Result<()> {
    write_line(out, &Shown::Skipped { skipped })
}

fn write_line(out: &mut impl Write, line: &Shown<'_>) -> anyhow::Result<()> {
    writeln!(out, "{}", text::json_line(line)?)?;
    Ok(())
}

/// Standard output for many short lines. It must be flushed, so that a full disk shows.
pub(super) fn output() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::new(io::stdout().lock())
}
