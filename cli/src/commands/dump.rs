//! `cachemaint dump`: the events of a flight recorder.

use super::payload::{Payload, hex, write_visible};
use super::recording::Times;
use super::{progress, recording, text};
use crate::read_only::ReadOnly;
use anyhow::bail;
use cachemaint_recorder::{Event, EventTable, Fields, Found, Merged, Skipped, SkippedKind, Value};
use core::mem;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// Print only this shard; can be given several times
    #[arg(long, value_name = "SHARD")]
    shard: Vec<u32>,
    /// Print only the last N events, with the gaps between and after them
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// With --last: print the last N events of each shard
    #[arg(long, requires = "last")]
    each: bool,
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

/// The lines of an event or a gap.
struct Item {
    /// The place among all items.
    number: u64,
    shard: u32,
    /// The opening, if it is an event.
    opening: Option<u64>,
    lines: Vec<u8>,
}

/// The last events of all shards together or of each, with the gaps behind each of them.
struct Last {
    most: usize,
    is_of_each: bool,
    /// By shard, or in one group. The first one may be gaps without an event.
    events: BTreeMap<u32, VecDeque<Vec<Item>>>,
}

impl Last {
    fn add(&mut self, item: Item) {
        let events = self.events.entry(if self.is_of_each { item.shard } else { 0 }).or_default();
        if item.opening.is_some() || events.is_empty() {
            events.push_back(Vec::new());
        }
        if let Some(last) = events.back_mut() {
            last.push(item);
        }
        if events.len() > self.most {
            events.pop_front();
        }
    }

    /// Returns the items in their order.
    fn items(self) -> Vec<Item> {
        let mut items: Vec<_> = self.events.into_values().flatten().flatten().collect();
        items.sort_unstable_by_key(|item| item.number);
        items
    }
}

/// The standard output, which names each opening, or has the last event of JSON behind the gaps after it.
struct Output<W> {
    out: W,
    json: bool,
    opening: Option<u64>,
    /// The line of JSON of the last event, and the gaps since then.
    held: Vec<u8>,
    gaps: Vec<u8>,
}

impl<W: Write> Output<W> {
    fn put(&mut self, item: Item) -> io::Result<()> {
        let Item { opening, lines, .. } = item;
        let before = opening.and_then(|opening| self.opening.replace(opening));
        if !self.json {
            if let Some(opening) = opening.filter(|_| before.is_some() && before != opening) {
                writeln!(self.out, "[opening {opening}]")?;
            }
            return self.out.write_all(&lines);
        }
        if opening.is_none() && !self.held.is_empty() {
            self.gaps.extend_from_slice(&lines);
            return Ok(());
        }
        let held = if opening.is_some() { mem::replace(&mut self.held, lines) } else { lines };
        self.out.write_all(&held)?;
        self.out.write_all(&mem::take(&mut self.gaps))
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&self.gaps)?;
        self.out.write_all(&self.held)?;
        self.out.flush()
    }
}

/// The progress of a dump.
struct Dump<'t> {
    table: &'t EventTable,
    json: bool,
    times: Times,
    items: u64,
    is_damaged: bool,
    /// True if an event has lost its name.
    misses_names: bool,
    overtaken: Overtaken,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, last, each, json, .. } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = recording::reader(path, &file)?;
    let named = |error| recording::named(path, error);
    let table = reader.event_table().map_err(named)?;
    let shards = shards(arguments, reader.description().shards)?;
    let all = u64::from(reader.description().shards);
    let size = progress::size(reader.description()) / all * shards.len() as u64;
    let mut events = Merged::of(shards.into_iter().map(|shard| reader.shard(shard)).collect());
    let mut buffer = vec![0; reader.largest_payload()];
    let out = BufWriter::new(io::stdout().lock());
    let mut out = Output { out, json: *json, opening: None, held: Vec::new(), gaps: Vec::new() };
    let bar = progress::bar_beside_output("reading", size)?;
    let mut dump = Dump::new(&table, *json);
    let last = last.map(|most| Last { most, is_of_each: *each, events: BTreeMap::new() });
    let mut last = last;
    let failure = loop {
        let found = match events.read_next(&mut buffer) {
            Ok(Some(found)) => found,
            Ok(None) => break None,
            Err(error) => break Some(named(error)),
        };
        let missed_names = dump.misses_names;
        let item = dump.item(&found)?;
        match &mut last {
            Some(last) => last.add(item),
            None => out.put(item)?,
        }
        bar.inc(progress::bytes_of(&found));
        if dump.misses_names != missed_names {
            let (path, damage) = (path.display(), recording::DAMAGED_NAMES);
            bar.suspend(|| text::tell!("{path}: {damage}; events are shown by their ids"));
        }
    };
    last.map_or_else(Vec::new, Last::items).into_iter().try_for_each(|item| out.put(item))?;
    out.finish()?;
    if let Some(failure) = failure {
        return Err(failure);
    }
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

/// Returns the shards to print.
fn shards(arguments: &Arguments, shards: u32) -> anyhow::Result<BTreeSet<u32>> {
    let Arguments { file, shard: chosen, .. } = arguments;
    if let Some(shard) = chosen.iter().find(|shard| **shard >= shards) {
        bail!("{}: there is no shard {shard}: the last one is {}", file.display(), shards - 1);
    }
    Ok(if chosen.is_empty() { (0..shards).collect() } else { chosen.iter().copied().collect() })
}

impl<'t> Dump<'t> {
    fn new(table: &'t EventTable, json: bool) -> Self {
        Self {
            table,
            json,
            times: Times::default(),
            items: 0,
            is_damaged: false,
            misses_names: false,
            overtaken: Overtaken::default(),
        }
    }

    /// Returns the lines of an event or a gap.
    fn item(&mut self, found: &Found<'_>) -> anyhow::Result<Item> {
        self.overtaken.count(found);
        let (mut opening, mut of_shard) = (None, 0);
        match found {
            Found::Event(event) => {
                self.misses_names = self.misses_names || misses_name(self.table, event);
                (opening, of_shard) = (Some(event.generation), event.shard);
            }
            Found::Skipped(Skipped { kind, shard, .. }) => {
                self.is_damaged = self.is_damaged || *kind == SkippedKind::Damaged;
                of_shard = *shard;
            }
            Found::Lost { shard, .. } => of_shard = *shard,
            _ => {}
        }
        let mut lines = Vec::new();
        let write = if self.json { Self::write_json } else { Self::write_text };
        write(self, &mut lines, found)?;
        self.items += 1;
        Ok(Item { number: self.items, shard: of_shard, opening, lines })
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
                let (name, fields) = match self.table.describe(event) {
                    Some((name, fields)) => (Some(name), Some(meant(fields))),
                    None => ((id == Event::PANIC).then_some("panic"), None),
                };
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
            Found::Lost { shard, events } => {
                text::write_json_line(out, &Gap::Lost { shard, events })?;
            }
            Found::Skipped(Skipped { shard, sequence, at, len, kind, .. }) => {
                let kind = name(kind);
                let gap = Gap::Skipped { shard, sequence, at, len, kind };
                text::write_json_line(out, &gap)?;
            }
            _ => {}
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
