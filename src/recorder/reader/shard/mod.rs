//! The events of a shard, in order.

mod gap;

use super::found::{Event, Found, Skipped};
use super::merged::Entry;
use super::search::{Record, Search};
use super::sub_buffer::SubBuffer;
use super::{HEADER, Header, Reader};
use crate::format::tag;
use crate::medium::Readable;
use crate::recorder::clock::Pace;
use crate::recorder::format::{self, RECORD, TAGGED, record_len};
use crate::recorder::{Error, Identity};
use core::ops::Range;
use core::sync::atomic::Ordering;

/// The events of a shard, in the order in which they were recorded, and the gaps between them.
///
/// Events that are recorded meanwhile may be seen.
#[derive(Debug)]
pub struct Events<'r, S> {
    reader: &'r Reader<S>,
    shard: u32,
    /// The newest header when reading began.
    newest: Option<Header>,
    /// The laps of sub-buffers up to the newest header, as [`laps_of`] finds them.
    laps: Laps,
    /// The number of visits of slots for these laps; each slot is visited once for each lap.
    visited: u64,
    current: Option<Current>,
    /// The newest sub-buffer of the last lap or after it that was read, or that is known to be missing.
    reached: Option<u64>,
    /// The sequence numbers of newer sub-buffers that are still to be visited.
    newer: Range<u64>,
    /// The sub-buffer that is read after the gap before it.
    after_gap: Option<SubBuffer>,
    /// The sequence numbers of that gap which are still to be reported.
    missing: Range<u64>,
    /// The last sub-buffer, which was left at the end of its events.
    left: Option<Current>,
    /// The number of lost events that have been reported.
    lost: u64,
    next: Option<Next>,
    /// The header of the last sub-buffer.
    previous: Option<Header>,
    /// The time of the last event in nanoseconds, by which the events of an opening are merged.
    time: u64,
    /// True if losses after the begin of the last sub-buffer have been looked up.
    has_last_losses: bool,
    is_at_end: bool,
    /// The number of rescans that are left.
    looks: u32,
    /// An entry of the heap of the shards that are merged, which need not be that of this shard.
    pub(super) in_heap: Entry,
    /// True if all shards that are merged are of one recording, and so are merged by opening first.
    pub(super) is_by_opening: bool,
}

/// The number of rescans of sub-buffers that a writer has begun since reading began.
const LOOKS: u32 = 4;

/// The most laps before the last one that are kept apart. A crash can leave sub-buffers of any number of laps: those of
/// older laps are not read, and are reported as damaged.
const OLDER: usize = 8;

/// The sequence numbers after the last ones of laps, ascending. The last lap ends with the newest header. Zeros stand for
/// missing laps before it.
type Laps = [u64; OLDER + 1];

/// Finds the laps up to the newest header that have sub-buffers. The lap before the last one is always among them, since
/// it can have sub-buffers without headers.
fn laps_of<S: Readable>(reader: &Reader<S>, shard: u32, newest: &Header) -> Laps {
    let (lap, end) = (u64::from(reader.description.sub_buffers), newest.sequence + 1);
    let mut laps = [0; OLDER + 1];
    laps[OLDER - 1..].copy_from_slice(&[end.saturating_sub(lap), end]);
    for header in (0..lap).filter_map(|slot| reader.header(shard, slot)) {
        // A writer may have begun newer ones since.
        let back = newest.sequence.saturating_sub(header.sequence) / lap;
        let end = end - back * lap;
        if end > laps[0] && !laps.contains(&end) {
            laps[0] = end;
            laps.sort_unstable();
        }
    }
    laps
}

/// The sub-buffer that is being read.
#[derive(Clone, Copy, Debug)]
struct Current {
    header: Header,
    is_inferred: bool,
    key: u64,
    search: Search,
    /// The offset up to which the sub-buffer has been read.
    offset: u64,
}

impl Current {
    /// Returns true if the header of the next sub-buffer proves that events follow in this one.
    const fn goes_on_before(&self, next: SubBuffer) -> bool {
        !next.is_inferred
            && next.header.sequence == self.header.sequence + 1
            && next.header.end_before as u64 > self.offset
    }

    const fn start(&self) -> u64 {
        self.search.start
    }

    /// Returns the record at the offset, with the offset, and moves behind it.
    fn record<S: Readable>(&mut self, reader: &Reader<S>) -> Option<(Record, u64)> {
        let offset = self.offset;
        if offset + RECORD > self.search.size {
            return None;
        }
        let record = reader.record(&mut self.search, offset, self.key)?;
        self.offset += record_len(usize::from(record.len));
        Some((record, offset))
    }

    /// Returns the time of a record in nanoseconds.
    fn time_of(&self, record: Record) -> u64 {
        let pace = self.header.pace;
        // Clocks without wall time have one origin in a recording.
        let known = if pace.wall == 0 { Pace { timestamp: 0, ..pace } } else { pace };
        known.wall_at(record.timestamp)
    }
}

/// The next item of a shard.
#[derive(Clone, Copy, Debug)]
enum Next {
    Event { record: Record, offset: u64 },
    Skipped(Skipped),
    Lost(u64),
}

/// Returns the number of the sub-buffer after the newest one.
fn after(newest: Option<Header>) -> u64 {
    newest.map_or(0, |newest| newest.sequence + 1)
}

impl<'r, S: Readable> Events<'r, S> {
    pub(super) fn new(reader: &'r Reader<S>, shard: u32) -> Self {
        let newest = reader.newest_header(shard);
        let next = after(newest);
        Self {
            reader,
            shard,
            newest,
            laps: newest.map_or([0; OLDER + 1], |newest| laps_of(reader, shard, &newest)),
            visited: 0,
            current: None,
            reached: None,
            newer: next..next + u64::from(reader.description.sub_buffers),
            after_gap: None,
            missing: 0..0,
            left: None,
            lost: 0,
            next: None,
            previous: None,
            time: 0,
            has_last_losses: false,
            is_at_end: false,
            looks: LOOKS,
            in_heap: Entry::default(),
            is_by_opening: false,
        }
    }

    /// Returns the opening and the time in nanoseconds of the next item, and the shard.
    pub(super) fn due(&mut self) -> Result<Option<(u64, u64, u32)>, Error<S::Error>> {
        if !self.seek()? {
            return Ok(None);
        }
        let opening = if self.is_by_opening { self.generation() } else { 0 };
        Ok(Some((opening, self.time, self.shard)))
    }

    /// Returns the opening of the last sub-buffer, or 0.
    const fn generation(&self) -> u64 {
        match self.previous {
            Some(previous) => previous.generation,
            None => 0,
        }
    }

    /// Returns the identity of the recording.
    pub(super) const fn identity(&self) -> Identity {
        self.reader.description.identity
    }

    /// Returns the next event, or the gap between it and the one before. `None` is the end.
    ///
    /// The payload is copied to the buffer, and borrows it until the next call. So this type is not an [`Iterator`], and is
    /// read in a loop: see [`Merged::read_next`](crate::recorder::Merged::read_next).
    ///
    /// # Errors
    /// [`ErrorKind::Medium`](crate::recorder::ErrorKind::Medium), if the medium has failed. This ends the reading. Bytes that
    /// a medium cannot read without having failed as a whole are a gap.
    ///
    /// # Panics
    /// If the buffer is shorter than [`Reader::largest_payload`].
    #[track_caller]
    pub fn read_next<'b>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> Result<Option<Found<'b>>, Error<S::Error>> {
        let (has, needs) = (buffer.len(), self.reader.largest_payload());
        assert!(has >= needs, "the buffer has {has} bytes and needs {needs}");
        while self.seek()? {
            match (self.next.take(), &self.current) {
                (Some(Next::Lost(events)), _) => {
                    return Ok(Some(Found::Lost { shard: self.shard, events }));
                }
                (Some(Next::Skipped(skipped)), _) => return Ok(Some(Found::Skipped(skipped))),
                (Some(Next::Event { record, offset }), Some(current)) => {
                    if self.copy(current, record, offset, buffer) {
                        let event = self.event(current, record, offset, buffer);
                        return Ok(Some(Found::Event(event)));
                    }
                    // The record has been overwritten since it was verified.
                    self.next = Some(Next::Skipped(self.rest(current, offset)));
                    self.current = None;
                    self.check()?;
                }
                (Some(Next::Event { .. }) | None, _) => break,
            }
        }
        Ok(None)
    }

    /// Finds the next item, unless it is known. Returns false at the end.
    fn seek(&mut self) -> Result<bool, Error<S::Error>> {
        while self.next.is_none() && !self.is_at_end {
            let Some(current) = &mut self.current else {
                self.enter();
                self.check()?;
                continue;
            };
            if let Some((record, offset)) = current.record(self.reader) {
                self.time = current.time_of(record);
                self.next = Some(Next::Event { record, offset });
            } else {
                let current = *current;
                self.leave_gap(current);
                self.check()?;
            }
        }
        Ok(!self.is_at_end)
    }

    /// Asks the medium if what was not found in it is missing there. Ends the reading if the medium has failed.
    fn check(&mut self) -> Result<(), Error<S::Error>> {
        self.reader.unless_failed(()).inspect_err(|_| (self.next, self.is_at_end) = (None, true))
    }

    /// Moves to the next sub-buffer, or to the end.
    ///
    /// It visits the ring once for each lap. Sub-buffers of laps before the last one are left if a crash has lost the newer
    /// ones in their slots. After the last lap come sub-buffers that are newer than the newest header: their headers were
    /// lost, or they have been begun since.
    fn enter(&mut self) {
        if !self.missing.is_empty() {
            let missing = self.missing.clone();
            self.next = Some(Next::Skipped(self.missed(missing)));
            return;
        }
        if let Some(found) = self.after_gap.take() {
            return self.begin(found);
        }
        let Some(newest) = self.newest else { return self.enter_unknown() };
        let slots = u64::from(self.reader.description.sub_buffers);
        let (round, place) = ((self.visited / slots) as usize, self.visited % slots);
        let Some(end) = self.laps.get(round) else { return self.enter_newer(&newest) };
        if *end == 0 {
            self.visited += slots;
            return;
        }
        self.visited += 1;
        let (after, sequence) = (end + place, (end + place).checked_sub(slots));
        if round == OLDER {
            let least = sequence.unwrap_or(after);
            let found = self.reader.sub_buffer(self.shard, least, &newest, self.previous);
            self.enter_lap(found, after, sequence);
        } else if let Some(sequence) = sequence {
            self.enter_older(sequence, &newest, round + 1 == OLDER);
        }
    }

    /// Moves to a sub-buffer of a lap before the last one, if its slot still has it. It is inferred from its records only
    /// in the lap before the last one, and only if its slot has no header: events of an older one are read already. Records
    /// of newer laps in the slot are left to the next rounds.
    fn enter_older(&mut self, sequence: u64, newest: &Header, is_inferable: bool) {
        let (reader, shard, previous) = (self.reader, self.shard, self.previous);
        let by_header = reader.with_header(shard, sequence, newest, previous);
        let found = match by_header {
            None if is_inferable => {
                reader.infer(shard, sequence..=sequence, newest, previous, false)
            }
            by_header => by_header,
        };
        if let Some(found) = found.filter(|found| found.sequence() == sequence) {
            self.begin(found);
        }
    }

    /// Moves to the sub-buffer of the last lap in the slot of `after`. Another one is found there if a writer has
    /// overwritten it, or if a crash has lost it.
    fn enter_lap(&mut self, found: Option<SubBuffer>, after: u64, lap: Option<u64>) {
        match found {
            Some(found) if Some(found.sequence()) == lap => self.begin_next(found),
            Some(found) if lap.is_none_or(|lap| found.sequence() > lap) => {}
            _ => {
                let slot = self.reader.description.geometry().slot(after);
                self.next = self.unknown(slot, lap);
                self.reached = lap.or(self.reached);
            }
        }
    }

    /// Moves to the next sub-buffer that is newer than the newest header when reading began.
    ///
    /// If sub-buffers before it are missed because a writer has gone on, it moves to the oldest one that may still be there.
    /// It does so a few times at most, since a writer may always be faster.
    fn enter_newer(&mut self, newest: &Header) {
        let laps = u64::from(self.reader.description.sub_buffers);
        let sequence = self.newer.start;
        if self.newer.is_empty() {
            return self.last_losses();
        }
        self.newer.start += 1;
        let found = self.reader.sub_buffer(self.shard, sequence, newest, self.previous);
        let Some(found) = found.filter(|found| found.sequence() >= sequence) else { return };
        let end = self.newer.end.max(found.sequence() + 1);
        let oldest = end - laps;
        let first = self.reached.map_or(sequence, |reached| reached + 1).max(oldest);
        if first != sequence && self.looks > 0 && self.has_gone_on() {
            self.looks -= 1;
            // The end moves only here, so a few times at most. The range is never longer than a lap.
            self.newer = first..end;
        } else if found.sequence() == sequence {
            self.begin_next(found);
        }
    }

    /// Moves to the next slot of a shard without headers, from which no header can be inferred.
    fn enter_unknown(&mut self) {
        let slot = self.visited;
        if slot >= u64::from(self.reader.description.sub_buffers) {
            return self.last_losses();
        }
        self.visited += 1;
        self.next = self.unknown(slot, None);
    }

    /// Begins a sub-buffer. If it does not follow the last one, the gap between them comes first. If events were recorded in
    /// the last one since it was left, they come first.
    fn begin_next(&mut self, found: SubBuffer) {
        let sequence = found.sequence();
        let reached = self.reached.replace(sequence);
        if let Some(left) = self.left.take().filter(|left| left.goes_on_before(found)) {
            self.current = Some(left);
            self.after_gap = Some(found);
            return;
        }
        match reached.map(|reached| reached + 1..sequence).filter(|missed| !missed.is_empty()) {
            Some(missed) => {
                self.next = Some(Next::Skipped(self.missed(missed)));
                self.after_gap = Some(found);
            }
            None => self.begin(found),
        }
    }

    fn begin(&mut self, found: SubBuffer) {
        let SubBuffer { header, is_inferred } = found;
        let Header { generation, sequence, lost, .. } = header;
        let description = &self.reader.description;
        let geometry = description.geometry();
        if generation != self.generation() {
            // Its clock may have begun anew.
            self.time = 0;
        }
        self.previous = Some(header);
        self.current = Some(Current {
            header,
            is_inferred,
            key: description.key(self.shard, generation, sequence),
            search: Search::new(geometry, geometry.sub_buffer(self.shard, sequence)),
            offset: HEADER,
        });
        self.tell_losses(lost);
    }

    /// Reports losses after the begin of the last sub-buffer, and then the end.
    fn last_losses(&mut self) {
        if self.has_last_losses {
            self.is_at_end = true;
            return;
        }
        self.has_last_losses = true;
        self.tell_losses(self.reader.counted_as_lost(self.shard));
    }

    fn tell_losses(&mut self, lost: u64) {
        let events = lost.saturating_sub(self.lost);
        if events > 0 {
            self.next = Some(Next::Lost(events));
            self.lost = lost;
        }
    }

    /// Copies a payload. Returns true if it is still the one that was verified.
    fn copy(&self, current: &Current, record: Record, offset: u64, buffer: &mut [u8]) -> bool {
        let payload = &mut buffer[..usize::from(record.len).next_multiple_of(8)];
        let Some(verified) = current.search.chunk[TAGGED..].get(..payload.len()) else {
            return self.copy_long(current, record, offset, payload);
        };
        payload.copy_from_slice(verified);
        true
    }

    /// Copies a payload of which the search has only the beginning, and verifies it again.
    fn copy_long(
        &self,
        current: &Current,
        record: Record,
        offset: u64,
        payload: &mut [u8],
    ) -> bool {
        let Record { id, len, timestamp } = record;
        let (source, at) = (&self.reader.source, current.start() + offset);
        if source.read(at + RECORD, payload).is_err() {
            return false;
        }
        let mut tag = tag::Running::new(current.key);
        tag.append(&format::tagged(offset as u32, id, len, timestamp));
        tag.append(payload);
        source.load(at, Ordering::Acquire) == tag.finish()
    }

    fn event<'b>(
        &self,
        current: &Current,
        record: Record,
        offset: u64,
        buffer: &'b [u8],
    ) -> Event<'b> {
        let Record { id, len, timestamp } = record;
        let header = &current.header;
        Event {
            shard: self.shard,
            sequence: header.sequence,
            generation: header.generation,
            at: current.start() + offset,
            id,
            timestamp,
            wall: (header.pace.wall > 0).then_some(self.time),
            payload: &buffer[..usize::from(len)],
        }
    }
}
