//! The fill and damage of a journal, a flight recorder or a store, for `cachemaint inspect FILE`.

use super::payload::hex;
use super::recording;
use super::store::Verified;
use super::text::{self, row, thousands};
use crate::read_only::ReadOnly;
use cachemaint::dax;
use cachemaint_journal::{self, Recovered};
use cachemaint_recorder::{
    self, Description, FormatError, Found, Skipped, SkippedKind, TimeSource,
};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// The contents of a file. In JSON `kind` and the names of the kind.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Contents {
    Journal(Journal),
    Recording(Recording),
    Store(Verified),
}

#[derive(Serialize)]
pub(super) struct Journal {
    identity: String,
    capacity: u64,
    used: u64,
    recovered: Recovered,
}

#[derive(Serialize)]
pub(super) struct Recording {
    identity: String,
    openings: u64,
    sub_buffers: u32,
    sub_buffer_bytes: u32,
    clock: &'static str,
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
    damaged: u64,
    first: Option<String>,
    last: Option<String>,
}

impl Contents {
    /// Reads the whole file, if it is one of these. Returns `None` for another file.
    pub(super) fn of(path: &Path) -> anyhow::Result<Option<Self>> {
        // The guarantee of a file that cannot be read, as of an empty one, is shown all the same.
        let Ok(file) = &ReadOnly::open(path) else { return Ok(None) };
        match cachemaint_journal::Reader::open(file) {
            Ok(reader) => return Ok(Some(Self::Journal(Journal::of(path, &reader)?))),
            Err(failed) => match failed.error.kind() {
                cachemaint_journal::ErrorKind::Format(FormatError::Foreign { .. }) => {}
                _ => return Err(super::journal::named(path, failed)),
            },
        }
        match cachemaint_recorder::Reader::open(file) {
            Ok(reader) => return Ok(Some(Self::Recording(Recording::of(path, &reader)?))),
            Err(failed) => match failed.error.kind() {
                cachemaint_recorder::ErrorKind::Format(FormatError::Foreign { .. }) => {}
                _ => return Err(recording::named(path, failed.error)),
            },
        }
        match cachemaint_store::Reader::open(file) {
            Err(failed)
                if matches!(
                    failed.error.kind(),
                    cachemaint_store::ErrorKind::Format(FormatError::Foreign { .. })
                ) =>
            {
                Ok(None)
            }
            _ => Verified::of(path, file).map(|found| Some(Self::Store(found))),
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Journal(journal) => journal.write(out),
            Self::Recording(recording) => recording.write(out),
            Self::Store(store) => store.write(out),
        }
    }

    /// Returns the damage in a sentence, if there is any.
    pub(super) fn damage(&self) -> Option<&'static str> {
        let (is_damaged, sentence) = match self {
            Self::Journal(Journal { recovered, .. }) => (
                recovered.damage.is_some() || recovered.root_lost,
                "the journal is damaged; `cachemaint journal verify` shows where",
            ),
            Self::Recording(Recording { root_damaged, names_damaged, shards, .. }) => (
                *root_damaged || *names_damaged || shards.iter().any(|shard| shard.damaged > 0),
                "the recording is damaged; `cachemaint recording print` shows where",
            ),
            Self::Store(store) => {
                (store.is_damaged(), "the store is damaged; `cachemaint store verify` shows where")
            }
        };
        is_damaged.then_some(sentence)
    }
}

impl Journal {
    fn of(path: &Path, reader: &cachemaint_journal::Reader<&ReadOnly>) -> anyhow::Result<Self> {
        let recovered = super::journal::verified(path, reader)?;
        let used = recovered.end.0 - recovered.head.0;
        let identity = reader.identity().to_string();
        Ok(Self { identity, capacity: reader.capacity(), used, recovered })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { identity, capacity, used, recovered } = self;
        row(out, "journal", identity)?;
        let percent = u128::from(*used) * 100 / u128::from((*capacity).max(1));
        let (used, capacity) = (thousands(*used), thousands(*capacity));
        row(out, "used", format!("{used} of {capacity} bytes ({percent} %)"))?;
        super::journal::write_recovered(out, recovered)
    }
}

impl Recording {
    fn of(path: &Path, reader: &cachemaint_recorder::Reader<&ReadOnly>) -> anyhow::Result<Self> {
        let named = |error| recording::named(path, error);
        let description: &Description = reader.description();
        let shards = (0..description.shards).map(|shard| look_at_shard(reader, shard));
        let shards = shards.collect::<Result<_, _>>().map_err(named)?;
        let (ticks, wall) = description.anchor;
        // Zero is an unknown wall clock.
        let time = Some(wall).filter(|wall| *wall > 0).and_then(recording::time);
        Ok(Self {
            identity: description.identity.to_string(),
            openings: description.generation,
            sub_buffers: description.sub_buffers,
            sub_buffer_bytes: description.sub_buffer_size,
            clock: name_of(description.time_source),
            ticks_per_second: description.ticks_per_second,
            anchor: Anchor { ticks, time },
            boot: hex(&description.boot_id),
            root_damaged: reader.is_root_damaged(),
            names_damaged: reader.event_table().map_err(named)?.is_damaged(),
            shards,
        })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { identity, openings, sub_buffers, sub_buffer_bytes, .. } = self;
        let Self { clock, ticks_per_second, anchor, .. } = self;
        let Self { root_damaged, names_damaged, shards, .. } = self;
        row(out, "recording", identity)?;
        row(out, "openings", format!("{openings} to record"))?;
        let size = text::bytes(u64::from(*sub_buffer_bytes));
        row(
            out,
            "shards",
            format!("{}, each of {sub_buffers} sub-buffers of {size}", shards.len()),
        )?;
        row(
            out,
            "clock",
            format!("{}, {} ticks a second", clock.replace('_', " "), thousands(*ticks_per_second)),
        )?;
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
            row(out, &format!("shard {number}"), words(shard))?;
        }
        Ok(())
    }
}

const fn name_of(source: TimeSource) -> &'static str {
    match source {
        TimeSource::Caller => "caller",
        TimeSource::Monotonic => "monotonic",
        TimeSource::TimeStampCounter => "time_stamp_counter",
        TimeSource::VirtualCounter => "virtual_counter",
        _ => "unknown",
    }
}

fn look_at_shard(
    reader: &cachemaint_recorder::Reader<&ReadOnly>,
    shard: u32,
) -> Result<Shard, cachemaint_recorder::Error<dax::Error>> {
    let mut found = Shard::default();
    let (mut first, mut last) = (None, None);
    let mut events = reader.shard(shard);
    let mut buffer = vec![0; reader.largest_payload()];
    while let Some(item) = events.read_next(&mut buffer)? {
        match item {
            Found::Event(event) => {
                found.events += 1;
                found.bytes += event.payload.len() as u64;
                first = first.or(event.wall);
                last = event.wall.or(last);
            }
            Found::Skipped(Skipped { kind: SkippedKind::Damaged, len, .. }) => found.damaged += len,
            _ => {}
        }
    }
    [found.first, found.last] = [first, last].map(|wall| wall.and_then(recording::time));
    Ok(found)
}

fn words(shard: &Shard) -> String {
    let Shard { events, bytes, damaged, first, last } = shard;
    let time = match (first, last) {
        (Some(first), Some(last)) => format!("; from {first} to {last}"),
        _ => String::new(),
    };
    let [events, bytes, damaged] = [events, bytes, damaged].map(|count| thousands(*count));
    format!("{events} events with {bytes} bytes of payload; {damaged} bytes damaged{time}")
}
