//! The gaps between the events of a shard: their places, and their reasons.

use super::super::found::{Skipped, SkippedKind};
use super::super::search::Search;
use super::super::{HEADER, Header};
use super::{Current, Events, Next, after};
use crate::medium::Readable;
use crate::recorder::format::RECORD;
use core::ops::Range;
use core::sync::atomic::Ordering;

impl<S: Readable> Events<'_, S> {
    /// Finds the next record after one that does not verify, or the end of the sub-buffer.
    pub(super) fn leave_gap(&mut self, mut current: Current) {
        let reader = self.reader;
        let Current { search, key, offset, .. } = &mut current;
        let (key, offset) = (*key, *offset);
        let found = reader.find(search, offset + 8, key);
        // The record at `offset` may have been finished since it was read, as the record after it was.
        if found.is_some() && reader.record(search, offset, key).is_some() {
            self.read_again(current);
            return;
        }
        if let Some((place, _)) = found {
            let kind = self.kind_of_gap(&current);
            self.next = Some(Next::Skipped(self.skipped(&current, place - offset, kind)));
            self.current = Some(Current { offset: place, ..current });
            return;
        }
        let mut tail = self.tail(&current);
        if let Some(missing) = tail.as_mut().filter(|tail| tail.kind.is_damaged()) {
            if reader.record(&mut current.search, offset, key).is_some() {
                // The record has been finished since.
                self.read_again(current);
                return;
            }
            // This comes after the read of the record, which may have been overwritten by then.
            missing.kind = self.kind_of_gap(&current);
        }
        let is_at_end = |tail: Skipped| matches!(tail.kind, SkippedKind::Stale | SkippedKind::Torn);
        self.left = tail.is_none_or(is_at_end).then_some(current);
        self.next = tail.map(Next::Skipped);
        self.current = None;
    }

    /// Goes on with a record that has been finished since it was read. A medium that changes back and forth is not read for
    /// ever: each time is one in vain.
    const fn read_again(&mut self, mut current: Current) {
        current.search.spend(RECORD);
        self.current = Some(current);
    }

    /// Returns the gap after the last record of a sub-buffer, if records are missing or other bytes are there.
    fn tail(&self, current: &Current) -> Option<Skipped> {
        let Current { offset, header, is_inferred, .. } = *current;
        let (reader, geometry) = (self.reader, self.reader.description.geometry());
        let here = reader.header(self.shard, geometry.slot(header.sequence));
        if !is_inferred && here.is_none_or(|here| here.sequence != header.sequence) {
            return Some(self.rest(current, offset));
        }
        let after = reader.header(self.shard, geometry.slot(header.sequence + 1));
        let is_next = |after: &Header| {
            after.sequence == header.sequence + 1 && !after.is_remainder_before(&header)
        };
        let after = after.filter(is_next);
        if let Some(after) = after.filter(|after| after.end_before > 0) {
            let end = u64::from(after.end_before.min(geometry.size));
            let missing = end.saturating_sub(offset);
            if missing >= RECORD {
                return Some(self.skipped(current, missing, SkippedKind::Damaged));
            }
            // A forged header can leave less than a record, and then the word to check may be missing. The first header of
            // an opening can be behind an event that an earlier one has not finished.
            if missing > 0 || after.generation == header.generation {
                return None;
            }
        }
        let left = u64::from(geometry.size) - offset;
        if left < RECORD || reader.source.load(current.start() + offset, Ordering::Acquire) == 0 {
            return None;
        }
        let kind = if self.has_stale(current) { SkippedKind::Stale } else { SkippedKind::Torn };
        Some(self.skipped(current, left, kind))
    }

    /// Returns the kind of a gap in a sub-buffer: a writer may have reached and overwritten it meanwhile.
    fn kind_of_gap(&self, current: &Current) -> SkippedKind {
        let slot = self.reader.description.geometry().slot(current.header.sequence);
        let is_overwritten = match self.reader.header(self.shard, slot) {
            Some(here) => here.sequence > current.header.sequence,
            None => self.has_gone_on(),
        };
        if is_overwritten { SkippedKind::Overwritten } else { SkippedKind::Damaged }
    }

    /// Returns true if sub-buffers were begun since reading began. It is certain if the first of their headers was finished
    /// before this call.
    ///
    /// A writer begins one slot after the other, so that at most one of the next two slots is being begun at a time. A fast
    /// writer can be in the first one when that is looked at, and then in the second one. The bytes of the first one have
    /// changed afterwards. They do not change back, since numbers and times grow with each header of a slot.
    pub(super) fn has_gone_on(&self) -> bool {
        let (reader, shard) = (self.reader, self.shard);
        let next = after(self.newest);
        let [first, second] = [next, next + 1].map(|next| reader.description.geometry().slot(next));
        let is_newer = |header: Header| {
            let is_remainder =
                self.newest.is_some_and(|newest| header.is_remainder_before(&newest));
            header.sequence >= next && !is_remainder
        };
        let before = reader.header_bytes(shard, first);
        before.and_then(|bytes| reader.header_of(shard, first, bytes)).is_some_and(is_newer)
            || reader.header(shard, second).is_some_and(is_newer)
            || reader.header_bytes(shard, first) != before
    }

    /// Returns true if the rest of a sub-buffer has records of the lap before.
    fn has_stale(&self, current: &Current) -> bool {
        let (reader, header) = (self.reader, current.header);
        let laps = u64::from(reader.description.sub_buffers);
        let Some(sequence) = header.sequence.checked_sub(laps) else { return false };
        [header.generation, header.generation.saturating_sub(1)].into_iter().any(|generation| {
            let key = reader.description.key(self.shard, generation, sequence);
            let mut search = Search::new(reader.description.geometry(), current.start());
            reader.find(&mut search, current.offset, key).is_some()
        })
    }

    /// Returns the rest of a sub-buffer that is overwritten while it is read.
    pub(super) fn rest(&self, current: &Current, offset: u64) -> Skipped {
        let len = u64::from(self.reader.description.sub_buffer_size) - offset;
        self.skipped(&Current { offset, ..*current }, len, SkippedKind::Overwritten)
    }

    fn skipped(&self, current: &Current, len: u64, kind: SkippedKind) -> Skipped {
        let (at, sequence) = (current.start() + current.offset, Some(current.header.sequence));
        Skipped { shard: self.shard, sequence, at, len, kind }
    }

    /// Returns a slot as a gap, since the sub-buffer with this sequence number is not in it. Without a number, a slot that
    /// begins with zeros was never used and is not a gap.
    pub(super) fn unknown(&self, slot: u64, sequence: Option<u64>) -> Option<Next> {
        let geometry = self.reader.description.geometry();
        let at = geometry.sub_buffer(self.shard, slot);
        if sequence.is_none() && self.reader.source.load(at, Ordering::Acquire) == 0 {
            return None;
        }
        let (shard, len) = (self.shard, u64::from(geometry.size));
        // A header that is just being written does not verify. If a writer ends it meanwhile, it is found below.
        let is_begun = self.is_being_begun(slot, sequence.is_some());
        let is_before = |header: Option<Header>, here: &Header| {
            header.is_some_and(|header| here.is_remainder_before(&header))
        };
        let here = self.reader.header(self.shard, slot);
        let here = here.filter(|here| !is_before(self.previous, here));
        let is_written = here.is_some_and(|here| Some(here.sequence) >= sequence);
        let kind = if here.is_some_and(|here| is_before(self.newest, &here)) {
            SkippedKind::Torn
        } else if is_written || self.has_gone_on() {
            SkippedKind::Overwritten
        } else if is_begun {
            SkippedKind::Torn
        } else {
            SkippedKind::Damaged
        };
        Some(Next::Skipped(Skipped { shard, sequence: None, at, len, kind }))
    }

    /// Returns true if a writer may be writing the header of a slot: it is the slot after the newest sub-buffer. An unused slot
    /// has only zeros after the header. In a used one the header has the next number already: so the events there were given
    /// up, and a crash that has kept a part of the header has lost only the last events.
    fn is_being_begun(&self, slot: u64, is_used: bool) -> bool {
        let (source, geometry) = (&self.reader.source, self.reader.description.geometry());
        let start = geometry.sub_buffer(self.shard, slot);
        let next = after(self.newest);
        if geometry.slot(next) != slot {
            return false;
        }
        if is_used {
            let [first, second] = [start, start + 8].map(|at| source.load(at, Ordering::Acquire));
            return first == Header::first_word(self.shard) && Header::sequence_of(second) == next;
        }
        let records = start + HEADER..start + u64::from(geometry.size);
        self.reader.is_zero::<{ HEADER as usize }>(records)
    }

    /// Returns a gap for the first of the sub-buffers that were not found, up to the end of the shard. The rest is in
    /// `missing` then, and begins at the start of the shard. Sub-buffers of more than a lap are all of the shard.
    pub(super) fn missed(&mut self, sequences: Range<u64>) -> Skipped {
        let geometry = self.reader.description.geometry();
        let laps = u64::from(geometry.sub_buffers);
        let first = geometry.slot(sequences.start);
        let (slot, number) = match sequences.end - sequences.start {
            all if all >= laps => (0, laps),
            some => (first, some.min(laps - first)),
        };
        self.missing = if number < laps { sequences.start + number..sequences.end } else { 0..0 };
        let is_overwritten = self.has_gone_on();
        Skipped {
            shard: self.shard,
            sequence: Some(sequences.start),
            at: geometry.sub_buffer(self.shard, slot),
            len: number * u64::from(geometry.size),
            kind: if is_overwritten { SkippedKind::Overwritten } else { SkippedKind::Damaged },
        }
    }
}
