//! `cachemaint dump`: what a flight recorder has.
//!
//! # JSON
//! With `--json` each line is an object: an event, or what is missing between events.
//!
//! | name | what |
//! |---|---|
//! | `time` | when it was recorded (RFC 3339, UTC), or `null` if the recorder's clock had no wall time |
//! | `timestamp` | the same in ticks of the recorder's clock |
//! | `shard`, `id` | who recorded it, and the event's id; 65535 is the message of a panic |
//! | `text` or `hex` | the payload, if it is UTF-8, or in hexadecimal digits |
//! | `lost` | in place of the others: `shard`, and how many `events` it lost there |
//! | `skipped` | in place of the others: `shard`, `sequence` of the sub-buffer (or `null`), offset `at` and length `len` in the file, and `kind`: `torn`, `stale`, `damaged`, `overwritten`, `unknown` |

use super::payload::{Payload, visible};
use super::{progress, recording, text};
use crate::read_only::ReadOnly;
use cachemaint::recorder::{Event, Found, Skipped, SkippedKind};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the events of a flight recorder, merged by time
///
/// A line for each: time, shard, event id (or `panic`, for its message), payload; control characters are shown as escapes. What was lost and
/// what could not be read is shown in brackets, where it is missing.
///
/// The file is opened for reading only, also while it is recorded into. The exit code is 1 if something is
/// damaged.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file of the recorder
    file: PathBuf,
    /// Print a JSON object for each event, one a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Gap {
    Lost { shard: u32, events: u64 },
    Skipped { shard: u32, sequence: Option<u64>, at: u64, len: u64, kind: &'static str },
}

#[derive(Serialize)]
struct Shown<'b> {
    time: Option<String>,
    timestamp: u64,
    shard: u32,
    id: u16,
    #[serde(flatten)]
    payload: Payload<'b>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, json } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = recording::reader(path, &file)?;
    let write = if *json { write_json } else { write_text };
    let mut events = file.guarded(|| reader.events())?;
    let mut buffer = vec![0; reader.largest_payload()];
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut code = ExitCode::SUCCESS;
    let bar = progress::bar_beside_output("reading", progress::size(reader.description()))?;
    loop {
        let into = &mut buffer;
        let Some(found) = file.guarded(|| events.read_next(into))? else { break };
        if matches!(found, Found::Skipped(Skipped { kind: SkippedKind::Damaged, .. })) {
            code = ExitCode::FAILURE;
        }
        progress::show_found(&bar, &found);
        write(&mut out, &found)?;
    }
    out.flush()?;
    bar.finish_and_clear();
    Ok(code)
}

fn write_text(out: &mut dyn Write, found: &Found<'_>) -> anyhow::Result<()> {
    match found {
        Found::Event(Event { shard, id, timestamp, wall, payload, .. }) => {
            let time = wall.and_then(recording::time);
            let time = time.unwrap_or_else(|| format!("{timestamp:30}"));
            let id = if *id == Event::PANIC { "panic".to_owned() } else { id.to_string() };
            writeln!(out, "{time} {shard:2} {id:>5} {}", visible(payload))?;
        }
        Found::Lost { shard, events } => {
            writeln!(out, "[shard {shard}: {events} events were lost]")?;
        }
        Found::Skipped(skipped) => writeln!(out, "[{skipped}]")?,
        _ => writeln!(out, "[something that this version does not know]")?,
    }
    Ok(())
}

fn write_json(out: &mut dyn Write, found: &Found<'_>) -> anyhow::Result<()> {
    let text = match *found {
        Found::Event(Event { shard, id, timestamp, wall, payload, .. }) => {
            let (time, payload) = (wall.and_then(recording::time), Payload::of(payload));
            text::json_line(&Shown { time, timestamp, shard, id, payload })?
        }
        Found::Lost { shard, events } => text::json_line(&Gap::Lost { shard, events })?,
        Found::Skipped(Skipped { shard, sequence, at, len, kind, .. }) => {
            let kind = name(kind);
            text::json_line(&Gap::Skipped { shard, sequence, at, len, kind })?
        }
        _ => return Ok(()),
    };
    writeln!(out, "{text}")?;
    Ok(())
}

const fn name(kind: SkippedKind) -> &'static str {
    match kind {
        SkippedKind::Torn => "torn",
        SkippedKind::Stale => "stale",
        SkippedKind::Damaged => "damaged",
        SkippedKind::Overwritten => "overwritten",
        _ => "unknown",
    }
}
