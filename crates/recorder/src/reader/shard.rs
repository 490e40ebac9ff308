//! The events of a shard, in order, and the gaps between them.

use super::Reader;
use super::sub_buffer::SubBuffer;
use crate::error::Error;
use crate::format::{Header, RECORD};
use crate::found::{Found, Skipped, SkippedKind};
use cachemaint::medium::Readable;
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
    current: Option<SubBuffer>,
    /// The opening of the last sub-buffer, and the timestamp of its last event, or 0. They order the events of several
    /// shards.
    due: (u64, u64),
    item: Option<Item>,
    /// True if no other item follows.
    is_at_end: bool,
}

/// The next item of a shard.
#[derive(Clone, Copy, Debug)]
enum Item {
    /// The event that was found in the current sub-buffer.
    Event,
    Skipped(Skipped),
}

impl<S: Readable> Reader<S> {
    /// Returns the events of a shard, in the order in which they were recorded.
    ///
    /// # Panics
    /// If the recording does not have this shard.
    #[track_caller]
    pub fn shard(&self, shard: u32) -> Events<'_, S> {
        assert!(shard < self.description.shards, "there is no shard {shard}");
        let end = self.newest_header(shard).map_or(0, |newest| newest.sequence + 1);
        Events {
            reader: self,
            shard,
            next: end.saturating_sub(self.description.sub_buffers.into()),
            end,
            current: None,
            due: (0, 0),
            item: None,
            is_at_end: false,
        }
    }
}

impl<S: Readable> Events<'_, S> {
    /// Returns the opening and the time of the next item, or `None` at the end.
    #[cfg(feature = "alloc")]
    pub(super) fn due(&mut self) -> Result<Option<(u64, u64)>, Error<S::Error>> {
        Ok(self.seek()?.then_some(self.due))
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
            match (self.item.take(), &mut self.current) {
                (Some(Item::Event), Some(current)) => {
                    if current.copy(&self.reader.source, buffer) {
                        return Ok(Some(Found::Event(current.event(buffer))));
                    }
                    // The record was overwritten after it had been verified.
                    current.back();
                    let gap = current.skip(current.size, SkippedKind::Overwritten);
                    (self.item, self.current) = (Some(Item::Skipped(gap)), None);
                    self.check()?;
                }
                (Some(Item::Skipped(gap)), _) => return Ok(Some(Found::Skipped(gap))),
                (Some(Item::Event) | None, _) => break,
            }
        }
        Ok(None)
    }

    /// Finds the next item, unless it is already known. Returns false at the end.
    fn seek(&mut self) -> Result<bool, Error<S::Error>> {
        while self.item.is_none() && !self.is_at_end {
            let current = self.current.as_mut();
            if let Some(time) = current.and_then(|current| current.next(&self.reader.source)) {
                (self.due.1, self.item) = (time, Some(Item::Event));
                continue;
            }
            match self.current.take() {
                Some(current) => self.leave(current),
                None => self.enter(),
            }
            self.check()?;
        }
        Ok(self.item.is_some())
    }

    /// Checks whether missing data are really missing in the medium. Ends the reading if the medium has failed.
    fn check(&mut self) -> Result<(), Error<S::Error>> {
        self.reader.unless_failed(()).inspect_err(|_| (self.item, self.is_at_end) = (None, true))
    }

    /// Moves to the next sub-buffer, or to the end.
    fn enter(&mut self) {
        if self.next == self.end {
            self.is_at_end = true;
            self.item = self.without_headers().map(Item::Skipped);
        } else if let Some(header) = self.sub_buffer(self.next) {
            self.next += 1;
            if header.generation != self.due.0 {
                // Its clock may have restarted.
                self.due = (header.generation, 0);
            }
            self.current = Some(SubBuffer::new(&self.reader.description, header));
        } else {
            self.item = Some(Item::Skipped(self.skip_missing()));
        }
    }

    /// Goes on with the next record after one that does not verify, or leaves the sub-buffer.
    fn leave(&mut self, mut current: SubBuffer) {
        let (source, offset) = (&self.reader.source, current.offset);
        let found = current.find(source, offset + 8);
        let unread = current.is_unreadable.then_some(current.size);
        let end = found.or_else(|| self.end_of(&current)).or(unread);
        current.is_unreadable = false;
        let has_room = offset + RECORD <= current.size;
        let Some(end) = end.filter(|end| has_room && *end > offset) else { return };
        // The record may have been finished after it was read, as those after it were.
        if current.record(source, offset).is_some() {
            // This counts as work in vain, so that a medium that changes back and forth is not read forever.
            current.spend(RECORD);
            self.current = Some(current);
            return;
        }
        let is_overwritten = self.sub_buffer(current.header.sequence).is_none();
        let kind = if is_overwritten { SkippedKind::Overwritten } else { SkippedKind::Damaged };
        self.item = Some(Item::Skipped(current.skip(end, kind)));
        self.current = found.map(|_| current);
    }

    /// Returns the latest possible end of the records of a sub-buffer, if the opening continued after it: the next
    /// header states the end. If that header is lost, or this sub-buffer has been overwritten, it is the last byte.
    fn end_of(&self, current: &SubBuffer) -> Option<u64> {
        let Header { sequence, generation, .. } = current.header;
        if self.sub_buffer(sequence).is_none() {
            return Some(current.size);
        }
        let next = (sequence + 1..self.end).find_map(|next| self.sub_buffer(next))?;
        let is_behind = next.sequence == sequence + 1 && next.end_before > 0;
        let end = if is_behind { next.end_before.min(current.size) } else { current.size };
        (next.generation == generation).then_some(end)
    }

    /// Skips the next sub-buffers, which are missing from their slots, up to the end of the shard.
    fn skip_missing(&mut self) -> Skipped {
        let (first, geometry) = (self.next, self.reader.description.geometry());
        self.next += 1;
        // Its slot is used next: a crash can leave part of a header there.
        let is_oldest = first + u64::from(geometry.sub_buffers) == self.end;
        let last = if is_oldest { self.next } else { self.end };
        while self.next < last
            && geometry.slot(self.next) != 0
            && self.sub_buffer(self.next).is_none()
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
            header.sequence >= end
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
        let last = (first..geometry.sub_buffers.into()).rev().find(is_lost)?;
        // A writer that has continued is filling them.
        let is_torn = last == first && !self.is_unreadable(first);
        let kind = if is_torn { SkippedKind::Torn } else { SkippedKind::Damaged };
        (!self.has_gone_on()).then(|| self.missing(None, first..last + 1, kind))
    }

    /// Returns true if the header in the slot of a sequence number cannot be read.
    fn is_unreadable(&self, sequence: u64) -> bool {
        self.reader.header(self.shard, sequence).is_err()
    }

    /// Returns the header in the slot of a sequence number.
    fn header(&self, sequence: u64) -> Option<Header> {
        self.reader.header(self.shard, sequence).ok().flatten()
    }

    /// Returns the header of a sub-buffer, if it is still in its slot.
    fn sub_buffer(&self, sequence: u64) -> Option<Header> {
        self.header(sequence).filter(|header| header.sequence == sequence)
    }
}
