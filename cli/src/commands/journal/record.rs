//! The output of records.

use crate::commands::payload::{Payload, write_visible};
use crate::commands::text;
use crate::standard;
use cachemaint_journal::Position;
use core::ops::Range;
use serde::Serialize;
use std::io::BufWriter;

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

    /// Appends a record, whose positions are those of its beginning and its end.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        [position, end]: [Position; 2],
        payload: &[u8],
    ) -> anyhow::Result<()> {
        if self.json {
            let Payload { text, hex } = Payload::of(payload);
            text::write_json_line(out, &Shown::Record { position, end, text, hex })?;
            return Ok(());
        }
        if self.raw {
            out.extend_from_slice(payload);
        } else {
            write_visible(out, payload);
        }
        out.push(b'\n');
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
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'r str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hex: Option<String>,
    },
    Skipped {
        skipped: &'r Range<Position>,
    },
}

/// Appends a skipped range as a line of JSON.
pub(super) fn write_skipped(out: &mut Vec<u8>, skipped: &Range<Position>) -> anyhow::Result<()> {
    Ok(text::write_json_line(out, &Shown::Skipped { skipped })?)
}

/// Returns standard output for many short lines. It must be finished, so that a full disk is noticed.
pub(super) fn output() -> anyhow::Result<BufWriter<standard::Output>> {
    standard::output_or_closed().map(BufWriter::new)
}
