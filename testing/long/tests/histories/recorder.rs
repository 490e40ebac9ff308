//! The recorder: events of each shard in their order, of which those stay that a durability promises.

use super::payload::{Ending, bytes};
use crate::{USUAL, assert_safe};
use cachemaint::medium::Readable;
use cachemaint_recorder::{
    Clock, Durability, ErrorKind, FormatError, Found, Identity, Options, Reader, Recorder, Writer,
};
use cachemaint_sim::{Life, SimMedium, Structure, Violation};
use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A recording with this durability, in sub-buffers of 256 bytes.
struct Shape {
    durability: Durability,
    shards: u32,
    sub_buffers: u32,
    sizes: &'static [Size],
}

/// The payload of an event: so many bytes, with this ending.
type Size = (usize, Ending);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Do {
    /// Records an event, by the writer claimed last.
    Record(Size),
    WriteBackAll,
    /// Claims one more shard.
    Claim,
    /// Gives the shard back that was claimed last.
    GiveBack,
    /// Drops all and opens the recording again.
    Reopen,
}

/// The state of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    UnderWay,
    /// An event without a guarantee, which may be there: it was in the caches when the recording was opened.
    Old,
    /// A recorded event, which may be in the caches only.
    Recorded,
    /// A persistent event.
    Acknowledged,
}

#[derive(Clone)]
struct Entry {
    number: u64,
    shard: u32,
    payload: Arc<[u8]>,
    class: Class,
    /// The sequence number of its sub-buffer, if it was read back.
    sequence: Option<u64>,
}

/// Without the payload, which the number determines.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} of shard {}", self.number, self.class, self.shard)
    }
}

/// The reference model.
#[derive(Clone, Debug, Default)]
struct Events {
    is_created: bool,
    entries: Vec<Entry>,
    /// By shard, the highest sequence number of a sub-buffer that may have been begun, and the same at the opening. Later
    /// openings may not see the remains that a crash has left of it.
    begun: BTreeMap<u32, u64>,
    begun_before: BTreeMap<u32, u64>,
    /// Writers that are alive.
    writers: u32,
    next: u64,
}

type Recording<'m> = Recorder<'static, &'m SimMedium>;

fn no_time() -> u64 {
    0
}

impl Events {
    fn set(&mut self, from: Class, to: Class) {
        for entry in self.entries.iter_mut().filter(|entry| entry.class == from) {
            entry.class = to;
        }
    }

    /// Returns true if an event must be there: the caches keep all recorded events. The oldest sub-buffer is overwritten as
    /// a whole when the next one is begun.
    fn is_promised(&self, entry: &Entry, shape: &Shape, has_caches: bool) -> bool {
        let begun = self.begun.get(&entry.shard).copied().unwrap_or(0);
        let is_in_ring = |one| one + u64::from(shape.sub_buffers) > begun;
        let is_kept = entry.sequence.is_some_and(is_in_ring);
        let is_durable = match entry.class {
            Class::UnderWay | Class::Old => false,
            Class::Recorded => has_caches,
            Class::Acknowledged => true,
        };
        is_kept && is_durable
    }
}

impl Shape {
    fn bytes(&self) -> u64 {
        5 * 4096 + u64::from(self.shards * self.sub_buffers) * 256
    }

    fn options(&self) -> Options<'static> {
        Options::with_clock(Identity([0xa5; 16]), Clock::from_function(no_time, 1, || 0))
            .shards(self.shards)
            .sub_buffers(self.sub_buffers)
            .sub_buffer_size(256)
            .durability(self.durability)
    }

    /// Reads the recording and judges it. The caches are as the opening before has left them if `has_caches`.
    fn judge(
        &self,
        reader: &Reader<&SimMedium>,
        life: &Life<'_, Self>,
        has_caches: bool,
    ) -> Result<(), Violation> {
        let model = life.model();
        for shard in 0..self.shards {
            let found = events(reader, shard)?;
            let is_sorted = found.is_sorted_by(|one, next| one.number < next.number);
            Violation::unless(is_sorted, || format!("shard {shard} has {found:?}"))?;
            for event in &found {
                let entry = model.entries.iter().find(|entry| entry.number == event.number);
                let is_it = entry
                    .is_some_and(|entry| entry.shard == shard && *entry.payload == *event.payload);
                Violation::unless(is_it, || format!("shard {shard} has {event:?}, not {entry:?}"))?;
            }
            let is_lost = |entry: &&Entry| {
                entry.shard == shard
                    && model.is_promised(entry, self, has_caches)
                    && found.iter().all(|event| event.number != entry.number)
            };
            if let Some(lost) = model.entries.iter().find(is_lost) {
                return Err(Violation::lost(format!("{lost:?} of {found:?}")));
            }
        }
        Ok(())
    }

    /// Opens the recording, or makes it, and judges it.
    fn open<'m>(&self, life: &Life<'m, Self>, number: u64) -> Result<Recording<'m>, Violation> {
        // Only a loss of power empties the caches: a kill keeps them, and so does another opening.
        let has_caches = number > 0 || life.is_after_kill;
        if !has_caches {
            life.note(|model| model.set(Class::Recorded, Class::Old));
        }
        let model = life.model();
        match Reader::open(life.medium) {
            Ok(reader) => self.judge(&reader, life, has_caches)?,
            Err(error) if !model.is_created && is_missing(error.error.kind()) => {
                let (recorder, _) = self.options().create_new(life.medium)?;
                life.note(|model| model.is_created = true);
                return Ok(recorder);
            }
            Err(error) => return Err(error.into()),
        }
        let (recorder, _) = self.options().open(life.medium)?;
        life.note(|model| {
            model.set(Class::UnderWay, Class::Old);
            model.set(Class::Recorded, Class::Old);
            (model.is_created, model.writers) = (true, 0);
            model.begun_before = model.begun.clone();
        });
        Ok(recorder)
    }

    /// One opening, by its number in the life, up to the next. Returns true if there is one.
    fn opened(&self, life: &Life<'_, Self>, number: u64) -> Result<bool, Violation> {
        let recorder = self.open(life, number)?;
        let mut writers = Vec::new();
        claim(life, &recorder, &mut writers)?;
        while let Some(operation) = life.next() {
            match operation {
                Do::Record(size) => self.record(life, &recorder, &writers, size)?,
                Do::WriteBackAll => {
                    recorder.write_back_all()?;
                    life.note(|model| model.set(Class::Recorded, Class::Acknowledged));
                }
                Do::Claim => claim(life, &recorder, &mut writers)?,
                Do::GiveBack => {
                    writers.pop();
                    life.note(|model| model.writers -= 1);
                }
                Do::Reopen => return Ok(true),
            }
        }
        Ok(false)
    }

    fn record(
        &self,
        life: &Life<'_, Self>,
        recorder: &Recording<'_>,
        writers: &[Writer<'_, &SimMedium>],
        (len, ending): Size,
    ) -> Result<(), Violation> {
        let Some(writer) = writers.last() else { return Ok(()) };
        let (shard, number) = (writer.shard(), life.model().next);
        let payload = bytes(number, len, ending);
        let (class, sequence) = (Class::UnderWay, None);
        let entry = Entry { number, shard, payload: payload.clone(), class, sequence };
        life.note(|model| {
            model.entries.push(entry);
            model.next += 1;
            *model.begun.entry(shard).or_default() += 1;
        });
        writer.record_at(number + 1, number as u16, &payload)?;
        let found = events(&recorder.reader(), shard)?;
        let last = found.last().filter(|event| event.number == number);
        let Some(sequence) = last.map(|event| event.sequence) else {
            return Err(Violation::lost(format!("event {number}, which was just recorded")));
        };
        let class = match self.durability {
            Durability::EachAppend => Class::Acknowledged,
            _ => Class::Recorded,
        };
        life.note(|model| {
            model.set(Class::UnderWay, class);
            let before = model.begun_before.get(&shard).copied().unwrap_or(0);
            model.begun.insert(shard, sequence.max(before));
            for entry in model.entries.iter_mut().filter(|entry| entry.shard == shard) {
                if entry.number == number {
                    entry.sequence = Some(sequence);
                }
                // The first event of a sub-buffer has the ones before written back.
                let is_full = entry.sequence.is_some_and(|one| one < sequence);
                let is_durable = is_full && self.durability == Durability::SubBuffer;
                if is_durable && entry.class == Class::Recorded {
                    entry.class = Class::Acknowledged;
                }
            }
        });
        Ok(())
    }
}

fn claim<'r, 'm>(
    life: &Life<'_, Shape>,
    recorder: &'r Recording<'m>,
    writers: &mut Vec<Writer<'r, &'m SimMedium>>,
) -> Result<(), Violation> {
    writers.push(recorder.claim()?);
    life.note(|model| model.writers += 1);
    Ok(())
}

/// Returns true if the medium has no recording: zeros, or the junk of the beginning.
const fn is_missing<E>(kind: &ErrorKind<E>) -> bool {
    matches!(kind, ErrorKind::Format(FormatError::Foreign { .. }))
}

/// An event that was found.
#[derive(Debug)]
struct Event {
    number: u64,
    sequence: u64,
    payload: Vec<u8>,
}

/// The events of a shard as they are found.
fn events<S: Readable<Error: 'static>>(
    reader: &Reader<S>,
    shard: u32,
) -> Result<Vec<Event>, Violation> {
    let mut buffer = vec![0; reader.largest_payload()];
    let mut events = reader.shard(shard);
    let mut all = Vec::new();
    while let Some(found) = events.read_next(&mut buffer)? {
        let Found::Event(event) = found else { continue };
        let number = u64::from(event.id);
        Violation::unless(event.timestamp == number + 1, || format!("{event:?}"))?;
        all.push(Event { number, sequence: event.sequence, payload: event.payload.to_vec() });
    }
    Ok(all)
}

impl Structure for Shape {
    type Operation = Do;
    type Model = Events;

    fn operations(&self, model: &Events) -> Vec<Do> {
        let mut operations = Vec::new();
        if model.writers > 0 {
            operations.extend(self.sizes.iter().copied().map(Do::Record));
        }
        if self.durability != Durability::EachAppend {
            operations.push(Do::WriteBackAll);
        }
        if self.shards > 1 {
            operations.extend((model.writers < self.shards).then_some(Do::Claim));
            operations.extend((model.writers > 0).then_some(Do::GiveBack));
        }
        operations.push(Do::Reopen);
        operations
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        for number in 0.. {
            if !self.opened(life, number)? {
                break;
            }
        }
        Ok(())
    }
}

/// Events that end with their own checksum can begin a line with their bodies; the last ones fill a sub-buffer.
const SIZES: &[Size] = &[(32, Ending::Plain), (16, Ending::Checksum), (150, Ending::Plain)];

const EACH_APPEND: Shape =
    Shape { durability: Durability::EachAppend, shards: 1, sub_buffers: 2, sizes: SIZES };

const ON_REQUEST: Shape = Shape { durability: Durability::OnRequest, shards: 2, ..EACH_APPEND };

const SUB_BUFFER: Shape = Shape { durability: Durability::SubBuffer, ..EACH_APPEND };

#[test]
fn each_event_is_persistent_and_its_own() {
    assert_safe(&EACH_APPEND, EACH_APPEND.bytes(), USUAL);
}

#[test]
fn events_that_were_written_back_are_persistent_and_their_own() {
    assert_safe(&ON_REQUEST, ON_REQUEST.bytes(), USUAL);
}

#[test]
fn events_of_a_full_sub_buffer_are_persistent_and_their_own() {
    assert_safe(&SUB_BUFFER, SUB_BUFFER.bytes(), USUAL);
}
