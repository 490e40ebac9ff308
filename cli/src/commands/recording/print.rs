//! `cachemaint recording print`: the events of a flight recorder.

use super::payload::{Payload, hex, write_visible};
use super::{DAMAGED_NAMES, Times, named, reader, text};
use crate::read_only::ReadOnly;
use crate::streams;
use anyhow::ensure;
use cachemaint_recorder::{Event, EventTable, Fields, Found, Skipped, SkippedKind, Value};
use serde::{Serialize, Serializer};
use serde_json::json;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the events of a recording, ordered by opening and time
///
/// Each line is an event: time, shard, event id, payload. Control characters are shown as escapes. If the file names its events, the name comes before the payload; if it also names their fields, these replace
/// the payload. A line `[opening N]` precedes the first event of each later opening.
///
/// Brackets mark missing events. Torn oldest events are normal: newer ones were being written over them. If the fields do
/// not fit the payload, the first such field is named; bytes after the fields are printed in hexadecimal.
///
/// The file is only read, so a program can record into it meanwhile. If it records faster than this command reads, copy the file
/// and print the copy. Bytes that the medium has lost are skipped. The exit code is 1 if events or their names are damaged, or
/// bytes are lost.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the recording
    file: PathBuf,
    /// Print only this shard; can be repeated
    #[arg(long, value_name = "SHARD")]
    shard: Vec<u32>,
    /// Print only the last N events, with the gaps after each
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Print a JSON object for each event and gap, one per line
    #[arg(short, long)]
    json: bool,
}

/// An event. It has no flattened structures, whose names the serializer would write as those of a map.
#[derive(Serialize)]
struct Shown<'b> {
    time: Option<&'b str>,
    timestamp: u64,
    opening: u64,
    shard: u32,
    id: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Meant<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<&'b str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    rest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// The fields of an event, in the order of their names.
struct Meant<'b>(Vec<(&'b str, Value<'b>)>);

/// The items so far.
struct Print<'t> {
    table: &'t EventTable,
    json: bool,
    times: Times,
    /// The opening of the last event.
    opening: Option<u64>,
    is_damaged: bool,
    /// True if an event has lost its name.
    misses_names: bool,
    /// Gaps that a recording program has made meanwhile.
    overtaken: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, last, json, shard: chosen } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = reader(path, &file)?;
    let named = |error| named(path, error);
    let table = reader.event_table().map_err(named)?;
    let shards = reader.description().shards;
    let missing = chosen.iter().find(|shard| **shard >= shards);
    ensure!(missing.is_none(), "{}: has only the shards 0 to {}", path.display(), shards - 1);
    let mut events = reader.events();
    let mut buffer = vec![0; reader.largest_payload()];
    let mut out = streams::output()?;
    let mut print = Print {
        table: &table,
        json: *json,
        times: Times::default(),
        opening: None,
        is_damaged: false,
        misses_names: false,
        overtaken: 0,
    };
    // The last events, each with the gaps after it. The first one may be gaps without an event.
    let mut kept = VecDeque::new();
    let mut lines = Vec::new();
    let failure = loop {
        let found = match events.read_next(&mut buffer) {
            Ok(Some(found)) => found,
            Ok(None) => break None,
            Err(error) => break Some(named(error)),
        };
        let is_chosen = |shard| chosen.is_empty() || chosen.contains(&shard);
        if !shard_of(&found).is_none_or(is_chosen) {
            continue;
        }
        print.item(&mut lines, &found)?;
        let Some(most) = *last else {
            out.write_all(&lines)?;
            lines.clear();
            continue;
        };
        if matches!(found, Found::Event(_)) || kept.is_empty() {
            kept.push_back(Vec::new());
        }
        kept.back_mut().unwrap_or(&mut Vec::new()).append(&mut lines);
        if kept.len() > most {
            kept.pop_front();
        }
    };
    kept.iter().try_for_each(|lines| out.write_all(lines))?;
    out.flush()?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let Print { is_damaged, misses_names, overtaken, .. } = print;
    let path = path.display();
    if misses_names {
        text::tell!("{path}: {DAMAGED_NAMES}; events are shown with their ids");
    }
    if overtaken > 0 {
        let places = if overtaken == 1 { "place" } else { "places" };
        text::tell!(
            "{path}: a program overwrote events while they were read, which is marked in {overtaken} {places}; copy \
             the file, and print the copy"
        );
    }
    let bad_block = file.bad_block();
    if let Some(error) = bad_block {
        text::tell!("{error}");
    }
    let is_whole = !is_damaged && !misses_names && bad_block.is_none();
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Print<'_> {
    /// Appends the lines of an event or a gap.
    fn item(&mut self, out: &mut Vec<u8>, found: &Found<'_>) -> anyhow::Result<()> {
        match found {
            Found::Event(event) => {
                self.misses_names = self.misses_names || misses_name(self.table, event);
                let before = self.opening.replace(event.generation);
                let is_further = before.is_some_and(|before| before != event.generation);
                if is_further && !self.json {
                    writeln!(out, "[opening {}]", event.generation)?;
                }
            }
            Found::Skipped(Skipped { kind: SkippedKind::Damaged, .. }) => self.is_damaged = true,
            // The oldest events of a recording are overwritten in any case.
            Found::Skipped(Skipped { kind: SkippedKind::Overwritten, .. }) => {
                self.overtaken += u64::from(self.opening.is_some());
            }
            _ => {}
        }
        if self.json { self.write_json(out, found) } else { self.write_text(out, found) }
    }

    fn write_text(&mut self, out: &mut Vec<u8>, found: &Found<'_>) -> anyhow::Result<()> {
        match found {
            Found::Event(event) => {
                let Event { shard, id, timestamp, wall, payload, .. } = event;
                match wall.and_then(|wall| self.times.of(wall)) {
                    Some(time) => out.extend_from_slice(time.as_bytes()),
                    None => write!(out, "{timestamp:30}")?,
                }
                write!(out, " {shard:2} {id:5} ")?;
                match self.table.describe(event) {
                    Some(named) => write_meaning(out, named, payload)?,
                    None => write_visible(out, payload),
                }
                out.push(b'\n');
            }
            Found::Skipped(skipped) => writeln!(out, "[{skipped}]")?,
            _ => writeln!(out, "[an item that this version cannot show]")?,
        }
        Ok(())
    }

    fn write_json(&mut self, out: &mut Vec<u8>, found: &Found<'_>) -> anyhow::Result<()> {
        match *found {
            Found::Event(ref event) => {
                let Event { shard, generation: opening, id, timestamp, wall, payload, .. } = *event;
                let time = wall.and_then(|wall| self.times.of(wall));
                let described = self.table.describe(event);
                let (name, fields) = described.map(|(name, fields)| (name, meant(fields))).unzip();
                // Fields that were read say all of the payload, but for bytes that are not UTF-8.
                let is_said = |(meant, ..): &(Meant<'_>, _, _)| meant.is_exact();
                let Payload { text, hex } = match &fields {
                    Some(fields) if is_said(fields) => Payload { text: None, hex: None },
                    _ => Payload::of(payload),
                };
                let (fields, unread, rest) = match fields {
                    Some((fields, unread, rest)) => (Some(fields), unread, rest),
                    None => (None, None, String::new()),
                };
                let shown = Shown {
                    time,
                    timestamp,
                    opening,
                    shard,
                    id,
                    name,
                    fields,
                    unread,
                    rest,
                    text,
                    hex,
                };
                text::write_json_line(out, &shown)?;
            }
            Found::Skipped(Skipped { shard, sequence, at, len, kind, .. }) => {
                let gap = json!({
                    "shard": shard, "sequence": sequence, "at": at, "len": len, "kind": name(kind)
                });
                text::write_json_line(out, &json!({"skipped": gap}))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns the shard of an event or a gap.
const fn shard_of(found: &Found<'_>) -> Option<u32> {
    match found {
        Found::Event(Event { shard, .. }) | Found::Skipped(Skipped { shard, .. }) => Some(*shard),
        _ => None,
    }
}

/// Returns true for an event that a damaged table may have named.
fn misses_name(table: &EventTable, event: &Event<'_>) -> bool {
    table.is_damaged() && table.describe(event).is_none()
}

/// Appends the text of an event with a name: the name and the fields, or the payload if it has no fields.
fn write_meaning(
    out: &mut Vec<u8>,
    (name, mut fields): (&str, Fields<'_>),
    payload: &[u8],
) -> io::Result<()> {
    write_visible(out, name.as_bytes());
    let mut has_fields = false;
    for (field, value) in fields.by_ref() {
        has_fields = true;
        out.push(b' ');
        write_visible(out, field.as_bytes());
        out.push(b'=');
        match value {
            Value::Unsigned(number) => write!(out, "{number}")?,
            Value::Signed(number) => write!(out, "{number}")?,
            // `Debug` writes large and small numbers with an exponent.
            Value::Single(number) => write!(out, "{number:?}")?,
            Value::Double(number) => write!(out, "{number:?}")?,
            Value::Text(bytes) => write_visible(out, bytes),
            _ => out.push(b'?'),
        }
    }
    if let Some(field) = fields.unread() {
        out.extend_from_slice(b" [");
        write_visible(out, field.as_bytes());
        out.extend_from_slice(b" does not fit the payload]");
    }
    if !has_fields && !payload.is_empty() {
        out.push(b' ');
        write_visible(out, payload);
    } else if !fields.rest().is_empty() {
        write!(out, " +{}", hex(fields.rest()))?;
    }
    Ok(())
}

/// Returns the fields of an event, the one that does not fit the payload, and the bytes after the fields.
fn meant(mut fields: Fields<'_>) -> (Meant<'_>, Option<&str>, String) {
    let mut values: Vec<_> = fields.by_ref().collect();
    values.sort_unstable_by_key(|(name, _)| *name);
    let rest = if values.is_empty() { String::new() } else { hex(fields.rest()) };
    (Meant(values), fields.unread(), rest)
}

impl Meant<'_> {
    /// Returns true if these are fields, and no text has bytes that JSON cannot show.
    fn is_exact(&self) -> bool {
        let is_shown = |value: &Value<'_>| !matches!(value, Value::Text(bytes) if str::from_utf8(bytes).is_err());
        !self.0.is_empty() && self.0.iter().all(|(_, value)| is_shown(value))
    }
}

/// The value of a field in JSON.
struct Meaning<'b>(Value<'b>);

impl Serialize for Meaning<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Unsigned(number) => serializer.serialize_u64(number),
            Value::Signed(number) => serializer.serialize_i64(number),
            Value::Single(number) if number.is_finite() => serializer.serialize_f64(number.into()),
            Value::Double(number) if number.is_finite() => serializer.serialize_f64(number),
            Value::Single(number) => serializer.collect_str(&format_args!("{number:?}")),
            Value::Double(number) => serializer.collect_str(&format_args!("{number:?}")),
            // The payload has the bytes that are replaced here.
            Value::Text(bytes) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
            _ => serializer.serialize_unit(),
        }
    }
}

impl Serialize for Meant<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Meaning(*value))))
    }
}

const fn name(kind: SkippedKind) -> &'static str {
    match kind {
        SkippedKind::Torn => "torn",
        SkippedKind::Damaged => "damaged",
        SkippedKind::Overwritten => "overwritten",
        _ => "unknown",
    }
}
