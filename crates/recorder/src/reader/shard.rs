//! The events of a shard, in order, and the gaps between them.

use super::Reader;
use super::search::{Record, Search};
use crate::clock::Pace;
use crate::error::Error;
use crate::format::{self, HEADER, Header, RECORD, TAGGED, record_len};
use crate::found::{Event, Found, Skipped, SkippedKind};
use cachemaint::medium::Readable;
use cachemaint_format::tag;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// The events of a shard, in the order in which they were recorded, and the gaps between them.
///
/// It covers the sub-buffers that had been started when it was created. It may also return events recorded later.
#[derive(Debug)]
pub struct Events<'r, S> {
    reader: &'r Reader<S>,
    shard: u32,
    /// The sequence number of the next sub-buffer.
    next: u64,
    /// One more than the sequence number of the newest sub-buffer at the beginning.
    end: u64,
    current: Option<Current>,
    /// The opening of the last sub-buffer, or 0.
    generation: u64,
    /// The timestamp of the last event, used to merge the events of an opening.
    timestamp: u64,
    /// The time of the last event in nanoseconds.
    time: u64,
    /// The number of lost events that have been reported.
    lost: u64,
    item: Option<Item>,
    /// The part after the newest sub-buffer.
    tail: Tail,
}

/// The time of an item.
#[cfg(feature = "alloc")]
pub(super) struct Due {
    pub(super) opening: u64,
    pub(super) timestamp: u64,
    /// The wall clock.
    pub(super) time: u64,
}

/// The parts after the newest sub-buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// The slots after it.
    Behind,
    /// Losses since it began.
    Losses,
    End,
}

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

    /// Returns the record at the offset, with the offset, and moves past it.
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
        let pace = self.header.pace();
        // Clocks without wall time share one origin within a recording.
        let known = if pace.wall == 0 { Pace { timestamp: 0, ..pace } } else { pace };
        known.wall_at(record.timestamp)
    }

    /// Returns the bytes from the offset to `end` as a gap.
    const fn gap(&self, end: u64, kind: SkippedKind) -> Skipped {
        let (at, len) = (self.start() + self.offset, end - self.offset);
        let sequence = Some(self.header.sequence());
        Skipped { shard: self.header.shard, sequence, at, len, kind }
    }
}

/// The next item of a shard.
#[derive(Clone, Copy, Debug)]
enum Item {
    Event { record: Record, offset: u64 },
    Skipped(Skipped),
    Lost(u64),
}

impl<S: Readable> Reader<S> {
    /// Returns the events of a shard, in the order in which they were recorded.
    ///
    /// # Panics
    /// If the recording does not have this shard.
    #[track_caller]
    pub fn shard(&self, shard: u32) -> Events<'_, S> {
        assert!(shard < self.description.shards, "there is no shard {shard}");
        Events::new(self, shard)
    }
}

impl<'r, S: Readable> Events<'r, S> {
    pub(super) fn new(reader: &'r Reader<S>, shard: u32) -> Self {
        let end = reader.newest_header(shard).map_or(0, |newest| newest.sequence() + 1);
        Self {
            reader,
            shard,
            next: end.saturating_sub(reader.description.sub_buffers.into()),
            end,
            current: None,
            generation: 0,
            timestamp: 0,
            time: 0,
            lost: 0,
            item: None,
            tail: Tail::Behind,
        }
    }

    /// Returns the time of the next item, or `None` at the end.
    #[cfg(feature = "alloc")]
    pub(super) fn due(&mut self) -> Result<Option<Due>, Error<S::Error>> {
        let is_there = self.seek()?;
        let Self { generation: opening, timestamp, time, .. } = *self;
        Ok(is_there.then_some(Due { opening, timestamp, time }))
    }

    /// Returns the identity of the recording.
    #[cfg(feature = "alloc")]
    pub(super) const fn identity(&self) -> crate::Identity {
        self.reader.description.identity
    }

    /// Returns the next event, or the gap between it and the previous one. Returns `None` at the end.
    ///
    /// The payload is copied to the buffer and borrows it until the next call. This type is therefore not an
    /// [`Iterator`] and is read in a loop, as in the crate's documentation.
    ///
    /// # Errors
    /// [`FormatError::Medium`](crate::FormatError::Medium) if the medium has failed. This ends the reading. Bytes that
    /// a working medium cannot read are a gap.
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
                    // The record was overwritten after it had been verified.
                    let current = Current { offset, ..*current };
                    self.skip_to(&current, current.search.size, SkippedKind::Overwritten);
                    self.check()?;
                }
                (Some(Item::Event { .. }) | None, _) => break,
            }
        }
        Ok(None)
    }

    /// Finds the next item, unless it is already known. Returns false at the end.
    fn seek(&mut self) -> Result<bool, Error<S::Error>> {
        while self.item.is_none() && self.tail != Tail::End {
            let Some(current) = &mut self.current else {
                self.enter();
                self.check()?;
                continue;
            };
            if let Some((record, offset)) = current.record(self.reader) {
                (self.timestamp, self.time) = (record.timestamp, current.time_of(record));
                self.item = Some(Item::Event { record, offset });
            } else {
                let current = *current;
                self.leave(current);
                self.check()?;
            }
        }
        Ok(self.item.is_some())
    }

    /// Checks whether missing data are really missing in the medium. Ends the reading if the medium has failed.
    fn check(&mut self) -> Result<(), Error<S::Error>> {
        self.reader.unless_failed(()).inspect_err(|_| (self.item, self.tail) = (None, Tail::End))
    }

    /// Moves to the next sub-buffer, or to the end.
    fn enter(&mut self) {
        if self.next == self.end {
            return self.enter_tail();
        }
        if let Some(header) = self.sub_buffer(self.next) {
            self.next += 1;
            return self.begin(header);
        }
        self.item = Some(Item::Skipped(self.skip_missing()));
    }

    fn begin(&mut self, header: Header) {
        let (sequence, Header { generation, lost, .. }) = (header.sequence(), header);
        let description = &self.reader.description;
        let geometry = description.geometry();
        if generation != self.generation {
            // Its clock may have restarted.
            (self.generation, self.timestamp, self.time) = (generation, 0, 0);
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
        let unread = current.search.is_unreadable.then_some(current.search.size);
        let goes_on = match found {
            Some((place, _)) => Some(place),
            None => self.end_of(&current).or(unread),
        };
        current.search.is_unreadable = false;
        let has_room = offset + RECORD <= current.search.size;
        let Some(place) = goes_on.filter(|place| has_room && *place > offset) else {
            self.current = None;
            return;
        };
        // The record may have been finished after it was read, as those after it were.
        if reader.record(&mut current.search, offset, current.key).is_some() {
            // This counts as work in vain, so that a medium that changes back and forth is not read forever.
            current.search.spend(RECORD);
            self.current = Some(current);
            return;
        }
        let is_overwritten = self.sub_buffer(current.header.sequence()).is_none();
        let kind = if is_overwritten { SkippedKind::Overwritten } else { SkippedKind::Damaged };
        self.skip_to(&current, place, kind);
        self.current = found.map(|_| Current { offset: place, ..current });
    }

    /// Returns the latest possible end of the records of a sub-buffer, if the opening continued after it: the next
    /// header states the end. If that header is lost, or this sub-buffer has been overwritten, it is the last byte.
    fn end_of(&self, current: &Current) -> Option<u64> {
        let (sequence, generation) = (current.header.sequence(), current.header.generation);
        if self.sub_buffer(sequence).is_none() {
            return Some(current.search.size);
        }
        let next = (sequence + 1..self.end).find_map(|next| self.sub_buffer(next));
        let next = next.filter(|next| next.generation == generation)?;
        let is_behind = next.sequence() == sequence + 1;
        let end = if is_behind { next.end_before() } else { 0 };
        Some(if end == 0 { current.search.size } else { end.min(current.search.size) })
    }

    /// Reports the rest of a sub-buffer up to an offset, and leaves it.
    fn skip_to(&mut self, current: &Current, end: u64, kind: SkippedKind) {
        self.item = Some(Item::Skipped(current.gap(end, kind)));
        self.current = None;
    }

    /// Skips the next sub-buffers, which are missing from their slots, up to the end of the shard.
    fn skip_missing(&mut self) -> Skipped {
        let first = self.next;
        self.next += 1;
        // Its slot is used next: a crash can leave part of a header there.
        let is_oldest = first + self.sub_buffers() == self.end;
        let last = if is_oldest { self.next } else { self.end };
        while self.next < last && self.slot(self.next) != 0 && self.sub_buffer(self.next).is_none()
        {
            self.next += 1;
        }
        // An unreadable slot may have held the newest sub-buffer.
        let is_unreadable = is_oldest && self.is_unreadable(first);
        let kind = if self.has_gone_on() {
            SkippedKind::Overwritten
        } else if is_oldest && !is_unreadable {
            SkippedKind::Torn
        } else {
            SkippedKind::Damaged
        };
        self.missing((!is_unreadable).then_some(first), first..self.next, kind)
    }

    /// Returns true if sub-buffers were started since this reading began.
    ///
    /// A writer starts one slot after the other, so at most one of the next two headers is being written at a time. If
    /// it moves from the first to the second, the tag of the first has changed.
    fn has_gone_on(&self) -> bool {
        let (reader, end) = (self.reader, self.end);
        let first = reader.description.geometry().sub_buffer(self.shard, end);
        let tag = || reader.source.try_load(first + Header::TAG, Ordering::Acquire).ok();
        let newest = self.sub_buffer(end.wrapping_sub(1));
        let is_newer = |header: Header| {
            header.sequence() >= end
                && newest.is_none_or(|newest| header.generation >= newest.generation)
        };
        let before = tag();
        [end, end + 1].iter().any(|next| self.header(*next).is_some_and(is_newer))
            || tag() != before
    }

    /// Returns consecutive missing sub-buffers as a gap.
    fn missing(&self, sequence: Option<u64>, these: Range<u64>, kind: SkippedKind) -> Skipped {
        let geometry = self.reader.description.geometry();
        let (at, len) = (geometry.sub_buffer(self.shard, these.start), these.end - these.start);
        Skipped { shard: self.shard, sequence, at, len: len * u64::from(geometry.size), kind }
    }

    /// Returns the sub-buffers of the first lap after the newest one as a gap, if their headers are lost. Creation
    /// leaves zeros at the start of each sub-buffer, and a crash can leave part of the next header.
    fn without_headers(&self) -> Option<Skipped> {
        let (geometry, shard, first) = (self.reader.description.geometry(), self.shard, self.end);
        let is_lost = |slot: &u64| {
            let at = geometry.sub_buffer(shard, *slot);
            self.reader.source.try_load(at, Ordering::Acquire).ok() != Some(0)
                && self.header(*slot).is_none()
        };
        let last = (first..self.sub_buffers()).rev().find(is_lost)?;
        // A writer that has continued is filling them.
        let is_torn = last == first && !self.is_unreadable(first);
        let kind = if is_torn { SkippedKind::Torn } else { SkippedKind::Damaged };
        (!self.has_gone_on()).then(|| self.missing(None, first..last + 1, kind))
    }

    fn sub_buffers(&self) -> u64 {
        self.reader.description.sub_buffers.into()
    }

    const fn slot(&self, sequence: u64) -> u64 {
        self.reader.description.geometry().slot(sequence)
    }

    /// Returns true if the header in the slot of a sequence number cannot be read.
    fn is_unreadable(&self, sequence: u64) -> bool {
        let geometry = self.reader.description.geometry();
        let mut header = [0; HEADER as usize];
        self.reader.source.read(geometry.sub_buffer(self.shard, sequence), &mut header).is_err()
    }

    /// Returns the header in the slot of a sequence number.
    fn header(&self, sequence: u64) -> Option<Header> {
        self.reader.header(self.shard, self.slot(sequence))
    }

    /// Returns the header of a sub-buffer, if it is still in its slot.
    fn sub_buffer(&self, sequence: u64) -> Option<Header> {
        self.header(sequence).filter(|header| header.sequence() == sequence)
    }

    /// Moves to the next part after the newest sub-buffer.
    fn enter_tail(&mut self) {
        if self.tail == Tail::Behind {
            self.tail = Tail::Losses;
            self.item = self.without_headers().map(Item::Skipped);
        } else {
            self.tail = Tail::End;
            let newest = self.reader.newest_header(self.shard);
            self.tell_losses(self.reader.counted_as_lost(self.shard, newest.as_ref()));
        }
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
        source.try_load(at, Ordering::Acquire).is_ok_and(|found| found == tag.finish())
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
            sequence: header.sequence(),
            generation: header.generation,
            at: current.start() + offset,
            id,
            timestamp,
            wall: (header.wall > 0).then_some(self.time),
            payload: &buffer[..usize::from(len)],
        }
    }
}
