//! `cachemaint stat`: the fill, losses and damage of a journal, a flight recorder or a store.
//!
//! # JSON
//! With `--json` the output is one object with `"schema": 1`. Names may be added within a schema. The meaning of a
//! name does not change within a schema.
//!
//! | name | meaning |
//! |---|---|
//! | `path`, `guarantee` | as in `inspect --json` |
//! | `kind` | `journal`, `recording` or `store` |
//! | `identity` | 32 hexadecimal digits |
//! | `capacity`, `used`, `laps` | of a journal: bytes, with headers; the number of times that the end has wrapped around |
//! | `recovered` | of a journal, as in `journal verify --json` |
//! | `openings`, `sub_buffers`, `sub_buffer_bytes`, `refuses` | of a recording: the number of the last opening to record, the number and size of a shard's sub-buffers, and `true` if it refuses events when it is full |
//! | `clock` | of a recording: the source of the timestamps of the last opening: `caller` (the recording program), `monotonic` (the system's monotonic clock, from the creation of the recorder's clock on), `time_stamp_counter` (x86), `virtual_counter` (arm64), `unknown` |
//! | `ticks_per_second`, `anchor` | of a recording: the rate of these timestamps; one of them, as `ticks`, and the `time` at that tick (or `null` if the clock had no wall time) |
//! | `boot` | of a recording: the system's boot id at the last opening |
//! | `root_damaged` | of a recording: `true` if one of the two copies of its root is damaged; the next opening writes it anew |
//! | `names_damaged` | of a recording: `true` if the names of events are damaged |
//! | `shards` | of a recording, a list: `events` and `bytes` of payload, `used` sub-buffers, `laps`, `lost` events, `damaged` bytes at most, `first` and `last` time (or `null`) |
//! | `size`, `generation`, `is_sealed`, `capacity`, `blobs`, `whole`, `regions`, `bytes`, `damaged`, `records`, `copies` | of a store, as in `preserve verify --json` |

use super::payload::hex;
use super::preserve::Verified;
use super::text::{self, heading, row, thousands};
use super::unused::has_other_data;
use super::{inspect, progress, recording};
use crate::read_only::ReadOnly;
use anyhow::anyhow;
use cachemaint::dax::{self, Guarantee};
use cachemaint::medium::Readable as _;
use cachemaint_journal::{self, Recovered};
use cachemaint_recorder::{
    self, Description, FormatError, Found, Mode, Skipped, SkippedKind, TimeSource,
};
use core::fmt::Display;
use indicatif::ProgressBar;
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show the fill, losses and damage of a journal, a flight recorder or a store
///
/// The file is opened for reading only, and read as a whole. The exit code is 1 if the file is damaged. Whole records
/// after the torn end of a journal are counted and do not change the exit code; they change that of `journal verify`.
/// While another process trims a journal or opens a recording, a root can be half stored for a
/// moment: run the command again.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file of the journal, recorder or store
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    path: Cow<'a, str>,
    guarantee: &'a Guarantee,
    #[serde(flatten)]
    kind: &'a Kind,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    Journal(Journal),
    Recording(Recording),
    Store(Verified),
}

#[derive(Serialize)]
struct Journal {
    identity: String,
    capacity: u64,
    used: u64,
    laps: u64,
    recovered: Recovered,
}

#[derive(Serialize)]
struct Recording {
    identity: String,
    openings: u64,
    sub_buffers: u32,
    sub_buffer_bytes: u32,
    refuses: bool,
    clock: &'static str,
    #[serde(skip)]
    clock_words: &'static str,
    ticks_per_second: u64,
    anchor: Anchor,
    boot: String,
    root_damaged: bool,
    names_damaged: bool,
    shards: Vec<Shard>,
}

/// A timestamp of the last opening, and the wall clock then.
#[derive(Serialize)]
struct Anchor {
    ticks: u64,
    time: Option<String>,
}

#[derive(Default, Serialize)]
struct Shard {
    events: u64,
    bytes: u64,
    used: u64,
    laps: u64,
    lost: u64,
    damaged: u64,
    first: Option<String>,
    last: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let kind = look(path, &file)?;
    let mut out = anstream::stdout().lock();
    if arguments.json {
        let (path, guarantee) = (path.to_string_lossy(), file.view().guarantee());
        let document = Document { schema: 1, path, guarantee, kind: &kind };
        // The document is made as a string first, since serde_json hides a broken pipe from its callers.
        writeln!(out, "{}", text::json(&document)?)?;
    } else {
        let (size, place) =
            (text::bytes(file.view().len()), inspect::place(file.view().guarantee()));
        heading(&mut out, &text::printable(path.display()))?;
        row(&mut out, "file", format!("{size}, {place}"))?;
        row(&mut out, "granularity", file.view().guarantee().granularity)?;
        match &kind {
            Kind::Journal(journal) => print_journal(&mut out, journal)?,
            Kind::Recording(recording) => print_recording(&mut out, recording)?,
            Kind::Store(store) => store.write(&mut out)?,
        }
    }
    Ok(if kind.is_damaged() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Kind {
    fn is_damaged(&self) -> bool {
        match self {
            Self::Journal(Journal { recovered, .. }) => {
                recovered.damage.is_some() || recovered.root_lost
            }
            Self::Recording(Recording { root_damaged, names_damaged, shards, .. }) => {
                *root_damaged || *names_damaged || shards.iter().any(|shard| shard.damaged > 0)
            }
            Self::Store(store) => store.is_damaged(),
        }
    }
}

/// Reads the file as the kind that its magic names.
fn look(path: &Path, file: &ReadOnly) -> anyhow::Result<Kind> {
    if begins_as_store(file)? {
        return Verified::of(path, file).map(Kind::Store);
    }
    if !has_other_data(file, file.view().file(), &[])? {
        return Err(neither(path, "zeros"));
    }
    match cachemaint_journal::Reader::open(file) {
        Ok(reader) => return look_at_journal(path, &reader).map(Kind::Journal),
        Err(refused)
            if matches!(
                refused.error.kind(),
                cachemaint_journal::ErrorKind::Format(FormatError::Foreign { .. })
            ) => {}
        Err(refused) => return Err(super::journal::named(path, refused)),
    }
    match cachemaint_recorder::Reader::open(file) {
        Ok(reader) => look_at_recording(path, &reader).map(Kind::Recording),
        Err(failed) => {
            let cachemaint_recorder::ErrorKind::Format(FormatError::Foreign { found, .. }) =
                *failed.error.kind()
            else {
                return Err(recording::named(path, failed.error));
            };
            if found == [0; 8] {
                return Err(neither(path, "zeros"));
            }
            Err(neither(path, found.escape_ascii()))
        }
    }
}

/// Returns the error of a file of another kind.
fn neither(path: &Path, beginning: impl Display) -> anyhow::Error {
    anyhow!(
        "{}: neither a journal nor a recording nor a store: it begins with {beginning}",
        path.display()
    )
}

/// Returns true if the file has one of the two roots of a store (module `preserve`, the format).
fn begins_as_store(file: &ReadOnly) -> anyhow::Result<bool> {
    let mut found = [0; 8];
    for at in [0, 4096] {
        if at + 8 > file.len() {
            return Ok(false);
        }
        file.read(at, &mut found)?;
        if found == *b"cmpresrv" {
            return Ok(true);
        }
    }
    Ok(false)
}

fn look_at_journal(
    path: &Path,
    reader: &cachemaint_journal::Reader<&ReadOnly>,
) -> anyhow::Result<Journal> {
    let recovered = super::journal::verified(path, reader, &progress::bar("reading")?)?;
    let (capacity, end) = (reader.capacity(), recovered.end.0);
    let used = end - recovered.head.0;
    let identity = reader.identity().to_string();
    Ok(Journal { identity, capacity, used, laps: end / capacity, recovered })
}

fn look_at_recording(
    path: &Path,
    reader: &cachemaint_recorder::Reader<&ReadOnly>,
) -> anyhow::Result<Recording> {
    let named = |error| recording::named(path, error);
    let description: &Description = reader.description();
    let (clock, clock_words) = clock_of(description.time_source);
    let bar = progress::bar("reading")?;
    bar.set_length(progress::size(description));
    let shards = 0..description.shards;
    let shards = shards.map(|shard| look_at_shard(reader, shard, &bar));
    let shards = shards.collect::<Result<_, _>>().map_err(named);
    bar.finish_and_clear();
    Ok(Recording {
        identity: description.identity.to_string(),
        openings: description.generation,
        sub_buffers: description.sub_buffers,
        sub_buffer_bytes: description.sub_buffer_size,
        refuses: description.mode == Mode::Refuse,
        clock,
        clock_words,
        ticks_per_second: description.ticks_per_second,
        anchor: anchor(description),
        boot: hex(&description.boot_id),
        root_damaged: reader.is_root_damaged(),
        names_damaged: reader.event_table().map_err(named)?.is_damaged(),
        shards: shards?,
    })
}

/// Returns the name of a clock in JSON, and the words for it.
const fn clock_of(source: TimeSource) -> (&'static str, &'static str) {
    match source {
        TimeSource::Caller => ("caller", "the recording program's own"),
        TimeSource::Monotonic => ("monotonic", "the system's monotonic clock"),
        TimeSource::TimeStampCounter => ("time_stamp_counter", "the time stamp counter (x86)"),
        TimeSource::VirtualCounter => ("virtual_counter", "the virtual counter (arm64)"),
        _ => ("unknown", "one that this version does not know"),
    }
}

fn anchor(description: &Description) -> Anchor {
    let (ticks, wall) = description.anchor;
    // Zero is an unknown wall clock.
    let time = Some(wall).filter(|wall| *wall > 0).and_then(recording::time);
    Anchor { ticks, time }
}

fn look_at_shard(
    reader: &cachemaint_recorder::Reader<&ReadOnly>,
    shard: u32,
    bar: &ProgressBar,
) -> Result<Shard, cachemaint_recorder::Error<dax::Error>> {
    let lost = reader.lost(shard)?;
    let mut seen = Seen { shard: Shard { lost, ..Shard::default() }, ..Seen::default() };
    let mut events = reader.shard(shard);
    let mut buffer = vec![0; reader.largest_payload()];
    while let Some(found) = events.read_next(&mut buffer)? {
        bar.inc(progress::bytes_of(&found));
        seen.add(&found);
    }
    let Seen { shard: mut found, newest, first, last } = seen;
    [found.first, found.last] = [first, last].map(|wall| wall.and_then(recording::time));
    let sub_buffers = u64::from(reader.description().sub_buffers);
    // While a program records into the file, more sub-buffers are read one after the other than the file has.
    found.used = found.used.min(sub_buffers);
    found.laps = newest.unwrap_or(0) / sub_buffers;
    Ok(found)
}

/// The events of a shard so far.
#[derive(Default)]
struct Seen {
    shard: Shard,
    /// The number of the newest sub-buffer.
    newest: Option<u64>,
    /// Times by the wall clock.
    first: Option<u64>,
    last: Option<u64>,
}

impl Seen {
    fn add(&mut self, found: &Found<'_>) {
        let Self { shard, newest, first, last, .. } = self;
        match found {
            Found::Event(event) => {
                shard.events += 1;
                shard.bytes += event.payload.len() as u64;
                shard.used += u64::from(newest.replace(event.sequence) != Some(event.sequence));
                *first = first.or(event.wall);
                *last = event.wall.or(*last);
            }
            Found::Skipped(Skipped { kind: SkippedKind::Damaged, len, .. }) => {
                shard.damaged += len;
            }
            _ => {}
        }
    }
}

fn print_journal(out: &mut impl Write, journal: &Journal) -> anyhow::Result<()> {
    let Journal { identity, capacity, used, laps, recovered } = journal;
    row(out, "journal", identity)?;
    row(out, "used", fill(*used, *capacity, "bytes"))?;
    row(out, "laps", thousands(*laps))?;
    let Recovered { records, bytes, torn, after_gap, damage, root_lost, .. } = recovered;
    let (records, bytes) = (thousands(*records), thousands(*bytes));
    row(out, "records", format!("{records}, with {bytes} bytes of payload"))?;
    let torn = match (*torn, *after_gap) {
        (false, _) if damage.is_some() => text::BEFORE_DAMAGE.to_owned(),
        (false, _) => "whole".to_owned(),
        (true, 0) => "torn".to_owned(),
        (true, after_gap) => {
            format!("torn or damaged, with {} whole records after it", thousands(after_gap))
        }
    };
    row(out, "end", torn)?;
    if *root_lost {
        row(out, "damage", "a copy of the root is torn or damaged")?;
    }
    match damage {
        None if *root_lost => {}
        None => row(out, "damage", "none")?,
        Some(damage) => row(out, "damage", damage)?,
    }
    Ok(())
}

fn print_recording(out: &mut impl Write, recording: &Recording) -> anyhow::Result<()> {
    let Recording { identity, openings, sub_buffers, sub_buffer_bytes, refuses, .. } = recording;
    let Recording { clock_words, ticks_per_second, anchor, .. } = recording;
    let Recording { root_damaged, names_damaged, shards, .. } = recording;
    row(out, "recording", identity)?;
    row(out, "openings", format!("{openings} to record"))?;
    let size = text::bytes(u64::from(*sub_buffer_bytes));
    row(out, "shards", format!("{}, each of {sub_buffers} sub-buffers of {size}", shards.len()))?;
    let when_full = if *refuses { "refuses new events" } else { "overwrites the oldest events" };
    row(out, "when full", when_full)?;
    row(out, "clock", format!("{clock_words}, {} ticks a second", thousands(*ticks_per_second)))?;
    let Anchor { ticks, time } = anchor;
    let anchor = time.as_ref().map(|time| format!("tick {} at {time}", thousands(*ticks)));
    row(out, "anchor", anchor.as_deref().unwrap_or("none: the clock had no wall time"))?;
    if *root_damaged {
        row(out, "damage", "one of the two copies of the root is damaged")?;
    }
    if *names_damaged {
        row(out, "damage", recording::DAMAGED_NAMES)?;
    }
    for (number, shard) in shards.iter().enumerate() {
        row(out, &format!("shard {number}"), words(shard, u64::from(*sub_buffers)))?;
    }
    Ok(())
}

fn words(shard: &Shard, sub_buffers: u64) -> String {
    let Shard { events, bytes, used, laps, lost, damaged, first, last } = shard;
    let time = match (first, last) {
        (Some(first), Some(last)) => format!("; from {first} to {last}"),
        _ => String::new(),
    };
    format!(
        "{} events with {} bytes of payload in {}; overwritten {} times; {} events not recorded; {} bytes \
         damaged{time}",
        thousands(*events),
        thousands(*bytes),
        fill(*used, sub_buffers, "sub-buffers"),
        thousands(*laps),
        thousands(*lost),
        thousands(*damaged)
    )
}

fn fill(used: u64, of: u64, what: &str) -> String {
    let percent = u128::from(used) * 100 / u128::from(of.max(1));
    format!("{} of {} {what} ({percent} %)", thousands(used), thousands(of))
}
