//! `cachemaint dump`: the events of a flight recorder.

use super::payload::{Payload, hex, visible};
use super::{progress, recording, text};
use crate::read_only::ReadOnly;
use crate::standard;
use cachemaint::recorder::{Event, EventTable, Fields, Found, Skipped, SkippedKind, Value};
use serde::Serialize;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the events of a flight recorder, merged by opening, then by time
///
/// Each line is one event: time, shard, event id (or `panic`, for its message), payload. Control characters are shown as
/// escapes. If the file has names for events, the name is before the payload. If the file has their fields, these are in
/// place of the payload, and the bytes after them follow in hexadecimal digits. A field that does not fit the payload
/// and unreadable bytes are shown in brackets, at their places. Bytes left by an earlier lap, and an end that is unfinished
/// or torn, are normal. Lost events are shown in brackets after the sub-buffer in which they were lost, or at the end of
/// the shard: they can be older than the events just before.
///
/// If the file was opened again between two events, a line between them names the opening.
///
/// The file is opened for reading only, so a program can record into it meanwhile. If it records faster than this command
/// reads, events are missing throughout: copy the file first, and dump the copy. The exit code is 1 if events or their
/// names are damaged.
#[derive(clap::Args)]
#[command(after_long_help = JSON)]
pub(crate) struct Arguments {
    /// The file of the recorder
    file: PathBuf,
    /// Print one JSON object per line for each event
    #[arg(long)]
    json: bool,
}

/// The names of the JSON, in lines of a narrow terminal.
const JSON: &str = concat!(
    "JSON:\n",
    "With --json each line is an object: an event, or a gap between events. Names\n\
     may be added. The meaning of an existing name does not change.\n",
    "\n",
    "  time        The time of the event (RFC 3339, UTC), or null if it is not known:\n\
     \x20             the recorder's clock had no wall time, or a crash has lost it.\n",
    "  timestamp   The same in ticks of the clock of its opening. The JSON of `stat`\n\
     \x20             describes the clock of the last opening.\n",
    "  opening     The number of the opening that recorded the event. The first is 1.\n",
    "  shard       The shard that it was recorded in.\n",
    "  id          The event's id; 65535 is the message of a panic.\n",
    "  text        The payload as a whole, if it is UTF-8.\n",
    "  hex         The payload in hexadecimal digits, if it is not UTF-8.\n",
    "\n",
    "Of an event whose id has a name in the file:\n",
    "\n",
    "  name        The event's name.\n",
    "  fields      An object of its fields, in the order of their names. The strings\n\
     \x20             \"NaN\", \"inf\" and \"-inf\" are floating-point values that JSON does\n\
     \x20             not have. A text has U+FFFD in place of bytes that are not UTF-8.\n",
    "  unread      The first field that does not fit the payload, as it was declared,\n\
     \x20             if there is one.\n",
    "  rest        The bytes of the payload after the fields, in hexadecimal digits,\n\
     \x20             if there are some.\n",
    "\n",
    "Of a gap, in place of the others:\n",
    "\n",
    "  lost        An object: shard, and the number of events that it has lost since\n\
     \x20             the begin of the sub-buffer before.\n",
    "  events      That number.\n",
    "  skipped     An object of bytes that are not events: shard, sequence, at, len\n\
     \x20             and kind.\n",
    "  sequence    The number of the sub-buffer, or null if it is not known.\n",
    "  at, len     The offset of the bytes in the file, and their number at most.\n",
    "  kind        torn, stale, damaged, overwritten or unknown.",
);

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
    opening: u64,
    shard: u32,
    id: u16,
    #[serde(flatten)]
    named: Option<Meaning<'b>>,
    #[serde(flatten)]
    payload: Payload<'b>,
}

/// An event's name and its fields, from the file.
#[derive(Serialize)]
struct Meaning<'b> {
    name: &'b str,
    fields: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<&'b str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    rest: String,
}

/// The gaps of a dump that a recording program has overtaken.
#[derive(Default)]
struct Overtaken {
    has_begun: bool,
    gaps: u64,
}

impl Overtaken {
    /// Counts a gap, unless it comes before the first event: the oldest events of a recording are overwritten in any case.
    fn count(&mut self, found: &Found<'_>) {
        match found {
            Found::Event(_) => self.has_begun = true,
            Found::Skipped(Skipped { kind: SkippedKind::Overwritten, .. }) => {
                self.gaps += u64::from(self.has_begun);
            }
            _ => {}
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, json } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = recording::reader(path, &file)?;
    let write = if *json { write_json } else { write_text };
    let table = file.guarded(|| reader.event_table())?;
    let mut events = file.guarded(|| reader.events())?;
    let mut buffer = vec![0; reader.largest_payload()];
    let mut out = BufWriter::new(standard::output_or_closed()?);
    let mut code = ExitCode::SUCCESS;
    let mut is_missed = false;
    let mut overtaken = Overtaken::default();
    let mut opening = None;
    let bar = progress::bar_beside_output("reading", progress::size(reader.description()))?;
    loop {
        let into = &mut buffer;
        let Some(found) = file.guarded(|| events.read_next(into))? else { break };
        if matches!(found, Found::Skipped(Skipped { kind: SkippedKind::Damaged, .. })) {
            code = ExitCode::FAILURE;
        }
        if !is_missed && misses_name(&table, &found) {
            (is_missed, code) = (true, ExitCode::FAILURE);
            let path = text::printable(path.display());
            let damage = recording::damage_of_names(file.guarded(|| reader.is_descriptor_lost())?);
            bar.suspend(|| {
                text::tell!(
                    "cachemaint: {path}: {damage}; events without a name are shown by their ids"
                );
            });
        }
        overtaken.count(&found);
        bar.inc(progress::bytes_of(&found));
        if let Found::Event(Event { generation, .. }) = found {
            let before = opening.replace(generation).unwrap_or(generation);
            if before != generation && !json {
                writeln!(out, "[opening {generation}]")?;
            }
        }
        write(&mut out, &table, &found)?;
    }
    standard::finish(out)?;
    bar.finish_and_clear();
    if overtaken.gaps > 0 {
        let path = text::printable(path.display());
        let (gaps, places) = (overtaken.gaps, if overtaken.gaps == 1 { "place" } else { "places" });
        text::tell!(
            "cachemaint: {path}: a program overwrote events while they were read, which is marked in {gaps} {places}; \
             copy the file, and dump the copy"
        );
    }
    Ok(code)
}

/// Returns true for an event that a damaged table may have named.
fn misses_name(table: &EventTable, found: &Found<'_>) -> bool {
    let Found::Event(event) = found else { return false };
    table.is_damaged() && event.id != Event::PANIC && table.describe(event).is_none()
}

fn write_text(out: &mut dyn Write, table: &EventTable, found: &Found<'_>) -> anyhow::Result<()> {
    match found {
        Found::Event(event) => {
            let Event { shard, id, timestamp, wall, payload, .. } = event;
            let time = wall.and_then(recording::time);
            let time = time.unwrap_or_else(|| format!("{timestamp:30}"));
            let id = if *id == Event::PANIC { "panic".to_owned() } else { id.to_string() };
            let text = match table.describe(event) {
                Some(named) => meaning(named, payload),
                None => visible(payload),
            };
            writeln!(out, "{time} {shard:2} {id:>5} {text}")?;
        }
        Found::Lost { shard, events } => {
            writeln!(out, "[shard {shard}: {events} events were lost]")?;
        }
        Found::Skipped(skipped) => writeln!(out, "[{skipped}]")?,
        _ => writeln!(out, "[an item that this version cannot show]")?,
    }
    Ok(())
}

/// Returns the text of an event with a name: the name and the fields, or the payload if it has no fields.
fn meaning((name, mut fields): (&str, Fields<'_>), payload: &[u8]) -> String {
    let mut text = visible(name.as_bytes());
    let mut has_fields = false;
    for (field, value) in fields.by_ref() {
        has_fields = true;
        let value = match value {
            Value::Unsigned(number) => number.to_string(),
            Value::Signed(number) => number.to_string(),
            // `Debug` writes large and small numbers with an exponent.
            Value::Single(number) => format!("{number:?}"),
            Value::Double(number) => format!("{number:?}"),
            Value::Text(bytes) => visible(bytes),
            _ => "?".to_owned(),
        };
        text.extend([" ", &visible(field.as_bytes()), "=", &value]);
    }
    if let Some(field) = fields.unread() {
        text.extend([" [", &visible(field.as_bytes()), " does not fit the payload]"]);
    }
    if !has_fields && !payload.is_empty() {
        text.extend([" ", &visible(payload)]);
    } else if !fields.rest().is_empty() {
        text.extend([" +", &hex(fields.rest())]);
    }
    text
}

impl<'b> Meaning<'b> {
    fn of((name, mut fields): (&'b str, Fields<'b>)) -> Self {
        let value = |value| match value {
            Value::Unsigned(number) => number.into(),
            Value::Signed(number) => number.into(),
            Value::Single(number) if number.is_finite() => number.into(),
            Value::Double(number) if number.is_finite() => number.into(),
            Value::Single(number) => format!("{number:?}").into(),
            Value::Double(number) => format!("{number:?}").into(),
            // The payload has the bytes that are replaced here.
            Value::Text(bytes) => String::from_utf8_lossy(bytes).into(),
            _ => serde_json::Value::Null,
        };
        let values: serde_json::Map<_, _> =
            fields.by_ref().map(|(name, of_it)| (name.to_owned(), value(of_it))).collect();
        let rest = if values.is_empty() { String::new() } else { hex(fields.rest()) };
        Self { name, fields: values, unread: fields.unread(), rest }
    }
}

fn write_json(out: &mut dyn Write, table: &EventTable, found: &Found<'_>) -> anyhow::Result<()> {
    let text = match *found {
        Found::Event(ref event) => {
            let Event { shard, generation: opening, id, timestamp, wall, payload, .. } = *event;
            let (time, payload) = (wall.and_then(recording::time), Payload::of(payload));
            let named = table.describe(event).map(Meaning::of);
            text::json_line(&Shown { time, timestamp, opening, shard, id, named, payload })?
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
