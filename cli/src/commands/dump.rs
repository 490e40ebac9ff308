//! `cachemaint dump`: the events of a flight recorder.

use super::payload::{Payload, hex, write_visible};
use super::recording::Times;
use super::{progress, recording, text};
use crate::read_only::ReadOnly;
use cachemaint_recorder::{Event, EventTable, Fields, Found, Skipped, SkippedKind, Value};
use serde::{Serialize, Serializer};
use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the events of a flight recorder, merged by opening, then by time
///
/// Each line is one event: time, shard, event id (or `panic`, for its message), payload. Control characters are shown as
/// escapes. If the file has names for events, the name is before the payload. If the file has their fields, these are in
/// place of the payload, and the bytes after them follow in hexadecimal digits. A field that does not fit the payload
/// and unreadable bytes are shown in brackets, at their places. Oldest events that are torn are normal: newer ones were being
/// recorded over them. Lost events are shown in brackets after the sub-buffer in which they were lost, or at the end of
/// the shard: they can be older than the events just before.
///
/// If the file was opened again between two events, a line between them names the opening.
///
/// The file is opened for reading only, so a program can record into it meanwhile. If it records faster than this command
/// reads, events are missing throughout: copy the file first, and dump the copy. Bytes that the medium has lost are
/// skipped. The exit code is 1 if events or their names are damaged, or bytes are lost.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file of the recorder
    file: PathBuf,
    /// Print the last events only, of which there are this many
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Print one JSON object per line for each event. The gaps behind the last event come before it
    #[arg(short, long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Gap {
    Lost { shard: u32, events: u64 },
    Skipped { shard: u32, sequence: Option<u64>, at: u64, len: u64, kind: &'static str },
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

/// The lines of the last events, of each with the gaps behind it.
struct Last {
    most: usize,
    lines: VecDeque<Vec<u8>>,
}

impl Last {
    const fn new(most: usize) -> Self {
        Self { most, lines: VecDeque::new() }
    }

    /// Adds lines, which begin with an event or are gaps.
    fn add(&mut self, lines: &[u8], is_event: bool) {
        if is_event {
            self.lines.push_back(Vec::new());
        }
        if self.lines.len() > self.most {
            self.lines.pop_front();
        }
        if let Some(last) = self.lines.back_mut() {
            last.extend_from_slice(lines);
        }
    }
}

/// The progress of a dump.
struct Dump<'t> {
    table: &'t EventTable,
    json: bool,
    times: Times,
    opening: Option<u64>,
    is_damaged: bool,
    /// True if an event has lost its name.
    misses_names: bool,
    overtaken: Overtaken,
    /// The line of JSON of the last event, and the gaps since then, which come before it if no event follows.
    held: Vec<u8>,
    gaps: Vec<u8>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, last, json } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = recording::reader(path, &file)?;
    let named = |error| recording::named(path, error);
    let table = reader.event_table().map_err(named)?;
    let mut events = reader.events();
    let mut buffer = vec![0; reader.largest_payload()];
    let mut out = BufWriter::new(io::stdout().lock());
    let bar = progress::bar_beside_output("reading", progress::size(reader.description()))?;
    let mut dump = Dump::new(&table, *json);
    let mut last = last.map(Last::new);
    let mut lines = Vec::new();
    let failure = loop {
        let found = match events.read_next(&mut buffer) {
            Ok(Some(found)) => found,
            Ok(None) => break None,
            Err(error) => break Some(named(error)),
        };
        let missed_names = dump.misses_names;
        lines.clear();
        dump.add(&mut lines, &found)?;
        match &mut last {
            Some(last) => last.add(&lines, matches!(found, Found::Event(_))),
            None => out.write_all(&lines)?,
        }
        bar.inc(progress::bytes_of(&found));
        if dump.misses_names != missed_names {
            let (path, damage) = (path.display(), recording::DAMAGED_NAMES);
            bar.suspend(|| text::tell!("{path}: {damage}; events are shown by their ids"));
        }
    };
    let end = [dump.gaps, dump.held].concat();
    match &mut last {
        Some(last) => {
            last.add(&end, *json);
            last.lines.iter().try_for_each(|lines| out.write_all(lines))?;
        }
        None => out.write_all(&end)?,
    }
    if let Some(failure) = failure {
        out.flush()?;
        return Err(failure);
    }
    out.flush()?;
    bar.finish_and_clear();
    let Overtaken { gaps, .. } = dump.overtaken;
    if gaps > 0 {
        let path = path.display();
        let places = if gaps == 1 { "place" } else { "places" };
        text::tell!(
            "{path}: a program overwrote events while they were read, which is marked in {gaps} {places}; \
             copy the file, and dump the copy"
        );
    }
    let bad_block = file.bad_block();
    if let Some(error) = bad_block {
        text::tell!("{error}");
    }
    let is_whole = !dump.is_damaged && !dump.misses_names && bad_block.is_none();
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl<'t> Dump<'t> {
    fn new(table: &'t EventTable, json: bool) -> Self {
        Self {
            table,
            json,
            times: Times::default(),
            opening: None,
            is_damaged: false,
            misses_names: false,
            overtaken: Overtaken::default(),
            held: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Appends the lines of an item.
    fn add(&mut self, lines: &mut Vec<u8>, found: &Found<'_>) -> anyhow::Result<()> {
        self.overtaken.count(found);
        match found {
            Found::Event(event) => {
                self.misses_names = self.misses_names || misses_name(self.table, event);
                let before = self.opening.replace(event.generation);
                if !self.json && before.is_some_and(|before| before != event.generation) {
                    writeln!(lines, "[opening {}]", event.generation)?;
                }
            }
            Found::Skipped(Skipped { kind: SkippedKind::Damaged, .. }) => self.is_damaged = true,
            _ => {}
        }
        let write = if self.json { Self::write_json } else { Self::write_text };
        write(self, lines, found)
    }

    fn write_text(&mut self, out: &mut Vec<u8>, found: &Found<'_>) -> anyhow::Result<()> {
        match found {
            Found::Event(event) => {
                let Event { shard, id, timestamp, wall, payload, .. } = event;
                match wall.and_then(|wall| self.times.of(wall)) {
                    Some(time) => out.extend_from_slice(time.as_bytes()),
                    None => write!(out, "{timestamp:30}")?,
                }
                out.push(b' ');
                text::write_number(out, (*shard).into(), b' ', 2);
                out.push(b' ');
                match *id {
                    Event::PANIC => out.extend_from_slice(b"panic"),
                    id => text::write_number(out, id.into(), b' ', 5),
                }
                out.push(b' ');
                match self.table.describe(event) {
                    Some(named) => write_meaning(out, named, payload)?,
                    None => write_visible(out, payload),
                }
                out.push(b'\n');
            }
            Found::Lost { shard, events } => {
                writeln!(out, "[shard {shard}: {events} events were lost]")?;
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
                let named = self.table.describe(event).map(|(name, fields)| (name, meant(fields)));
                let (name, (fields, unread, rest)) = match named {
                    Some((name, (fields, unread, rest))) => {
                        (Some(name), (Some(fields), unread, rest))
                    }
                    None => ((id == Event::PANIC).then_some("panic"), (None, None, String::new())),
                };
                let Payload { text, hex } = Payload::of(payload);
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
                out.append(&mut self.held);
                out.append(&mut self.gaps);
                text::write_json_line(&mut self.held, &shown)?;
            }
            Found::Lost { shard, events } => {
                text::write_json_line(&mut self.gaps, &Gap::Lost { shard, events })?;
            }
            Found::Skipped(Skipped { shard, sequence, at, len, kind, .. }) => {
                let kind = name(kind);
                let gap = Gap::Skipped { shard, sequence, at, len, kind };
                text::write_json_line(&mut self.gaps, &gap)?;
            }
            _ => {}
        }
        if self.held.is_empty() {
            out.append(&mut self.gaps);
        }
        Ok(())
    }
}

/// Returns true for an event that a damaged table may have named.
fn misses_name(table: &EventTable, event: &Event<'_>) -> bool {
    table.is_damaged() && event.id != Event::PANIC && table.describe(event).is_none()
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
            Value::Unsigned(number) => text::write_number(out, number, b' ', 1),
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
