//! The events of a shard, in order, and the gaps between them.

use super::found::{Event, Found, Skipped, SkippedKind};
use super::search::{Record, Search};
use super::{HEADER, Header, Reader};
use crate::Error;
use crate::clock::Pace;
use crate::format::{self, RECORD, TAGGED, record_len};
use cachemaint::medium::Readable;
use cachemaint_format::tag;
use core::mem;
use core::sync::atomic::Ordering;

/// The events of a shard, in the order in which they were recorded, and the gaps between them.
///
/// Events that are recorded meanwhile may be seen.
#[derive(Debug)]
pub struct Events<'r, S> {
    reader: &'r Reader<S>,
    shard: u32,
    /// The sequence number of the next sub-buffer.
    next: u64,
    /// The sequence number after that of the newest sub-buffer, when that was last looked for.
    end: u64,
    /// The number of further looks for newer sub-buffers.
    looks: u32,
    current: Option<Current>,
    /// The opening of the last sub-buffer, or 0.
    generation: u64,
    /// The time of the last event in nanoseconds, by which the events of an opening are merged.
    time: u64,
    /// The number of lost events that have been reported.
    lost: u64,
    item: Option<Item>,
    /// True if the slots behind the newest sub-buffer have been looked at.
    has_looked_behind: bool,
    /// True if losses after the begin of the last sub-buffer have been looked up.
    has_last_losses: bool,
    is_at_end: bool,
}

/// The number of further looks for sub-buffers that a writer has begun since the last look.
const LOOKS: u32 = 4;

/// The sub-buffer that is being read.
#[derive(Clone, Copy, Debug)]
struct Current {
    header: Header,
    key: u64,
    search: Search,
    /// The offset up to which the sub-buffer has been read.
    offset: u64,
}

impl Current {
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

    /// Returns the bytes from the offset to `end` as a gap.
    const fn gap(&self, end: u64, kind: SkippedKind) -> Skipped {
        let Header { shard, sequence, .. } = self.header;
        let (at, len) = (self.start() + self.offset, end - self.offset);
        Skipped { shard, sequence: Some(sequence), at, len, kind }
    }
}

/// The next item of a shard.
#[derive(Clone, Copy, Debug)]
enum Item {
    Event { record: Record, offset: u64 },
    Skipped(Skipped),
    Lost(u64),
}

impl<'r, S: Readable> Events<'r, S> {
    pub(super) fn new(reader: &'r Reader<S>, shard: u32) -> Self {
        let end = reader.newest_header(shard).map_or(0, |newest| newest.sequence + 1);
        Self {
            reader,
            shard,
            next: end.saturating_sub(reader.description.sub_buffers.into()),
            end,
            looks: LOOKS,
            current: None,
            generation: 0,
            time: 0,
            lost: 0,
            item: None,
            has_looked_behind: false,
            has_last_losses: false,
            is_at_end: false,
        }
    }

    /// Returns the opening and the time of the next item. `None` is the end.
    #[cfg(feature = "alloc")]
    pub(super) fn due(&mut self) -> Result<Option<(u64, u64)>, Error<S::Error>> {
        Ok(self.seek()?.then_some((self.generation, self.time)))
    }

    /// Returns the identity of the recording.
    #[cfg(feature = "alloc")]
    pub(super) const fn identity(&self) -> crate::Identity {
        self.reader.description.identity
    }

    /// Returns the next event, or the gap between it and the one before. `None` is the end.
    ///
    /// The payload is copied to the buffer, and borrows it until the next call. So this type is not an [`Iterator`], and is
    /// read in a loop, as the module's documentation shows.
    ///
    /// # Errors
    /// [`FormatError::Medium`](crate::FormatError::Medium), if the medium has failed. This ends the reading. Bytes
    /// that a medium cannot read without having failed as a whole are a gap.
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
            match (self.item.take(), &self.current) {
                (Some(Item::Lost(events)), _) => {
                    return Ok(Some(Found::Lost { shard: self.shard, events }));
                }
                (Some(Item::Skipped(skipped)), _) => return Ok(Some(Found::Skipped(skipped))),
                (Some(Item::Event { record, offset }), Some(current)) => {
                    if self.copy(current, record, offset, buffer) {
                        let event = self.event(current, record, offset, buffer);
                        return Ok(Some(Found::Event(event)));
                    }
                    // The record has been overwritten since it was verified.
                    let current = Current { offset, ..*current };
                    self.skip_to(&current, current.search.size, SkippedKind::Overwritten);
                    self.check()?;
                }
                (Some(Item::Event { .. }) | None, _) => break,
            }
        }
        Ok(None)
    }

    /// Finds the next item, unless it is known. Returns false at the end.
    fn seek(&mut self) -> Result<bool, Error<S::Error>> {
        while self.item.is_none() && !self.is_at_end {
            let Some(current) = &mut self.current else {
                self.enter();
                self.check()?;
                continue;
            };
            if let Some((record, offset)) = current.record(self.reader) {
                self.time = current.time_of(record);
                self.item = Some(Item::Event { record, offset });
            } else {
                let current = *current;
                self.leave(current);
                self.check()?;
            }
        }
        Ok(!self.is_at_end)
    }

    /// Asks the medium if what was not found in it is missing there. Ends the reading if the medium has failed.
    fn check(&mut self) -> Result<(), Error<S::Error>> {
        self.reader.unless_failed(()).inspect_err(|_| (self.item, self.is_at_end) = (None, true))
    }

    /// Moves to the next sub-buffer, or to the end.
    fn enter(&mut self) {
        if self.next == self.end && !self.look() {
            if mem::replace(&mut self.has_looked_behind, true) {
                return self.last_losses();
            }
            self.item = self.without_headers().map(Item::Skipped);
            return;
        }
        let oldest = self.end.saturating_sub(self.sub_buffers());
        if self.next < oldest {
            // A writer has overtaken this reader.
            let skipped = self.missing(self.next, oldest, SkippedKind::Overwritten);
            (self.item, self.next) = (Some(Item::Skipped(skipped)), oldest);
            return;
        }
        if let Some(header) = self.sub_buffer(self.next) {
            self.next += 1;
            return self.begin(header);
        }
        self.item = Some(Item::Skipped(self.skip_missing()));
    }

    /// Looks for sub-buffers that a writer has begun since the last look. It does so a few times at most, since a writer may
    /// always be faster.
    fn look(&mut self) -> bool {
        let end = self.end;
        let is_begun = |header: Header| header.sequence >= end;
        if self.looks == 0 || !self.header(end).is_some_and(is_begun) {
            return false;
        }
        self.looks -= 1;
        let newest = self.reader.newest_header(self.shard);
        self.end = newest.map_or(end, |newest| (newest.sequence + 1).max(end));
        self.end > end
    }

    fn begin(&mut self, header: Header) {
        let Header { generation, sequence, lost, .. } = header;
        let description = &self.reader.description;
        let geometry = description.geometry();
        if generation != self.generation {
            // Its clock may have begun anew.
            (self.generation, self.time) = (generation, 0);
        }
        self.current = Some(Current {
            header,
            key: description.key(self.shard, generation, sequence),
            search: Search::new(geometry, geometry.sub_buffer(self.shard, sequence)),
            offset: HEADER,
        });
        self.tell_losses(lost);
    }

    /// Finds the next record after one that does not verify, or leaves the sub-buffer.
    fn leave(&mut self, mut current: Current) {
        let reader = self.reader;
        let offset = current.offset;
        let found = reader.find(&mut current.search, offset + 8, current.key);
        let goes_on = match found {
            Some((place, _)) => Some(place),
            None => self.end_of(&current),
        };
        let has_room = offset + RECORD <= current.search.size;
        let Some(place) = goes_on.filter(|place| has_room && *place > offset) else {
            if goes_on.is_none() && self.next == self.end {
                // The newest one, which a writer may be filling: events of it come before any that are looked for later.
                self.looks = 0;
            }
            self.current = None;
            return;
        };
        // The record may have been finished since it was read, as those after it were.
        if reader.record(&mut current.search, offset, current.key).is_some() {
            // A medium that changes back and forth is not read for ever: each time is one in vain.
            current.search.spend(RECORD);
            self.current = Some(current);
            return;
        }
        let is_overwritten = self.sub_buffer(current.header.sequence).is_none();
        let kind = if is_overwritten { SkippedKind::Overwritten } else { SkippedKind::Damaged };
        self.skip_to(&current, place, kind);
        self.current = found.map(|_| Current { offset: place, ..current });
    }

    /// Returns the offset at which the records of a sub-buffer end, if it is known: the header of the next one has it, if
    /// the same opening wrote both. One that has been overwritten meanwhile ends with its last byte.
    fn end_of(&self, current: &Current) -> Option<u64> {
        let Header { sequence, generation, .. } = current.header;
        if self.sub_buffer(sequence).is_none() {
            return Some(current.search.size);
        }
        let next = self.sub_buffer(sequence + 1).filter(|next| next.generation == generation)?;
        let end = u64::from(next.end_before);
        Some(if end == 0 { current.search.size } else { end.min(current.search.size) })
    }

    /// Reports the rest of a sub-buffer up to an offset, and leaves it.
    fn skip_to(&mut self, current: &Current, end: u64, kind: SkippedKind) {
        self.item = Some(Item::Skipped(current.gap(end, kind)));
        self.current = None;
    }

    /// Skips the next sub-buffers, which are not in their slots, up to the end of the shard.
    fn skip_missing(&mut self) -> Skipped {
        let first = self.next;
        self.next += 1;
        // Its slot is the one that is used next: a crash can leave a part of a header there.
        let is_oldest = first + self.sub_buffers() == self.end;
        let last = if is_oldest { self.next } else { self.end };
        while self.next < last && self.slot(self.next) != 0 && self.sub_buffer(self.next).is_none()
        {
            self.next += 1;
        }
        let kind = if self.has_gone_on() {
            SkippedKind::Overwritten
        } else if is_oldest {
            SkippedKind::Torn
        } else {
            SkippedKind::Damaged
        };
        self.missing(first, self.next, kind)
    }

    /// Returns true if sub-buffers were begun since the last look. It is certain if the first of their headers was finished
    /// before this call.
    ///
    /// A writer begins one slot after the other, so that at most one of the next two slots is being begun at a time. A fast
    /// writer can be in the first one when that is looked at, and then in the second one. The bytes of the first one have
    /// changed afterwards. They do not change back, since numbers and times grow with each header of a slot.
    fn has_gone_on(&self) -> bool {
        let (reader, shard, end) = (self.reader, self.shard, self.end);
        let first = self.slot(end);
        let newest = self.sub_buffer(end.wrapping_sub(1));
        let is_newer = |header: Header| {
            header.sequence >= end
                && newest.is_none_or(|newest| header.generation >= newest.generation)
        };
        let before = reader.header_bytes(shard, first);
        before.and_then(|bytes| reader.header_of(shard, first, bytes)).is_some_and(is_newer)
            || self.header(end + 1).is_some_and(is_newer)
            || reader.header_bytes(shard, first) != before
    }

    /// Returns sub-buffers as a gap. If they are not behind one another in the medium, it is all of the shard.
    fn missing(&self, first: u64, end: u64, kind: SkippedKind) -> Skipped {
        let geometry = self.reader.description.geometry();
        let number = end - first;
        let is_in_one = geometry.slot(first) + number <= self.sub_buffers();
        let (slot, number) = if is_in_one { (first, number) } else { (0, self.sub_buffers()) };
        Skipped {
            shard: self.shard,
            sequence: Some(first),
            at: geometry.sub_buffer(self.shard, slot),
            len: number * u64::from(geometry.size),
            kind,
        }
    }

    /// Returns the sub-buffers of the first lap behind the newest one as a gap, if they have lost their headers. A creation
    /// leaves zeros at the begin of each sub-buffer, and a crash can leave a part of the next header.
    fn without_headers(&self) -> Option<Skipped> {
        let (geometry, shard, first) = (self.reader.description.geometry(), self.shard, self.end);
        let is_lost = |slot: &u64| {
            let at = geometry.sub_buffer(shard, *slot);
            self.reader.source.load(at, Ordering::Acquire) != 0 && self.header(*slot).is_none()
        };
        let last = (first..self.sub_buffers()).rev().find(is_lost)?;
        if self.has_gone_on() {
            // Its sub-buffers are read, as far as they are there.
            return None;
        }
        let kind = if last == first { SkippedKind::Torn } else { SkippedKind::Damaged };
        let (at, len) = (geometry.sub_buffer(shard, first), last + 1 - first);
        let len = len * u64::from(geometry.size);
        Some(Skipped { shard, sequence: None, at, len, kind })
    }

    fn sub_buffers(&self) -> u64 {
        self.reader.description.sub_buffers.into()
    }

    const fn slot(&self, sequence: u64) -> u64 {
        self.reader.description.geometry().slot(sequence)
    }

    /// Returns the header in the slot of a sequence number.
    fn header(&self, sequence: u64) -> Option<Header> {
        self.reader.header(self.shard, self.slot(sequence))
    }

    /// Returns the header of a sub-buffer, if it is still in its slot.
    fn sub_buffer(&self, sequence: u64) -> Option<Header> {
        self.header(sequence).filter(|header| header.sequence == sequence)
    }

    /// Reports losses after the begin of the last sub-buffer, and then the end.
    fn last_losses(&mut self) {
        if self.has_last_losses {
            self.is_at_end = true;
            return;
        }
        self.has_last_losses = true;
        let newest = self.reader.newest_header(self.shard);
        self.tell_losses(self.reader.counted_as_lost(self.shard, newest.as_ref()));
    }

    fn tell_losses(&mut self, lost: u64) {
        let events = lost.saturating_sub(self.lost);
        if events > 0 {
            self.item = Some(Item::Lost(events));
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
