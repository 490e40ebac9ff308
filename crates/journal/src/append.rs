//! Appending: each producer makes its own records durable, then waits for the records before them.

use super::confirmation;
use super::error::{Error, ErrorKind};
use super::geometry::{HEADER, Placement, Position};
use super::group::Group;
use super::inflight::Refused;
use super::journal::Journal;
use super::record::{Header, Kind, Vouch, void};
use cachemaint::medium::{Granularity, Medium};
use cachemaint_format::{sync, tag};
use core::ops::Range;
use core::sync::atomic::Ordering;

/// Records with payloads up to this size are written with ordinary stores.
const SMALL: usize = 256;

/// The size of a word in bytes.
const WORD: usize = 8;

/// The assumed line size where a long record is cut. It only affects speed.
const LINE: usize = 64;

impl<M: Medium> Journal<M> {
    /// Appends a record and waits until it is acknowledged: the record and everything before it are durable, and every
    /// recovery finds them.
    ///
    /// # Errors
    /// If the record is [too long](ErrorKind::TooLong), the journal is [full](ErrorKind::Full), or the medium fails.
    /// After a failure of the medium, now or [earlier](super::FormatError::Failed), a later recovery may still find the
    /// record. [`FormatError::AnotherWriter`](super::FormatError::AnotherWriter) if another writer opened the journal,
    /// which is noticed when the next segment begins.
    ///
    /// # Cost
    /// One write-back of its lines and one fence. With page granularity, one system call, or up to three at the start
    /// of a segment. The call also waits for earlier records that other threads are still appending.
    pub fn append(&self, payload: &[u8]) -> Result<Position, Error<M::Error>> {
        let placement = self.place(payload.len() as u64)?;
        // Unless it is acknowledged, dropping the claim fails the journal.
        let mut claim = Claim::new(self, placement);
        claim.check()?;
        claim.store(payload)?;
        claim.acknowledged()?;
        Ok(Position(placement.record))
    }

    /// Appends all records of a group and waits until they are acknowledged. The records are contiguous, and the group
    /// is empty afterwards. The call is not atomic: a crash before it returns can leave only the first few records.
    ///
    /// Returns the position of the first record and the end of the last one. For an empty group, both are the
    /// [`end`](Self::end) of the journal.
    ///
    /// # Errors
    /// Same as [`append`](Self::append), and the group is then unchanged. The whole group must fit into a segment.
    ///
    /// # Cost
    /// That of one [`append`](Self::append) of all the bytes.
    pub fn append_group(&self, group: &mut Group) -> Result<Range<Position>, Error<M::Error>> {
        let size = group.size(self.geometry.alignment);
        if size == 0 {
            let end = self.end();
            return Ok(end..end);
        }
        let placement = self.place(size.saturating_sub(HEADER))?;
        let mut claim = Claim::new(self, placement);
        claim.check()?;
        let bytes =
            group.seal(self.geometry.alignment, &placement, self.mark.epoch.key, claim.durable());
        claim.persist(&[(self.geometry.place(placement.record), bytes)])?;
        claim.acknowledged()?;
        group.clear();
        Ok(Position(placement.record)..Position(placement.end))
    }

    #[inline]
    fn place(&self, len: u64) -> Result<Placement, Error<M::Error>> {
        let limit = self.geometry.largest();
        if len > limit {
            return Err(Error::new(ErrorKind::TooLong { len, limit }));
        }
        let size = self.geometry.size(len);
        loop {
            match self.in_flight.reserve(size) {
                Ok(placement) => return Ok(placement),
                Err(Refused::Busy) => self.in_flight.wait_for_window(size),
                Err(Refused::Failed) => return Err(self.failed()),
                Err(Refused::Full { needed, free }) => {
                    return Err(Error::new(ErrorKind::Full { needed, free }));
                }
            }
        }
    }

    /// Confirms that everything before `end` is acknowledged.
    #[inline]
    fn confirm(&self, end: u64) {
        confirmation::store(&self.medium, self.mark.epoch.key, end);
        if !self.in_flight.is_last(end) {
            self.confirm_beside_others(end);
        }
    }

    /// Confirms again if another thread may already have confirmed a later position.
    #[cold]
    fn confirm_beside_others(&self, end: u64) {
        // Of two threads, at least one sees the other's watermark.
        sync::fence(Ordering::SeqCst);
        let now = self.in_flight.durable();
        if now > end {
            self.confirm(now);
        }
    }
}

/// Space that belongs to one producer. If it does not become a durable record, the journal has failed.
#[derive(Debug)]
struct Claim<'j, M: Medium> {
    journal: &'j Journal<M>,
    placement: Placement,
    is_done: bool,
}

impl<'j, M: Medium> Claim<'j, M> {
    const fn new(journal: &'j Journal<M>, placement: Placement) -> Self {
        Self { journal, placement, is_done: false }
    }

    /// Fails if the claim begins a segment and another writer has opened the journal.
    #[inline]
    fn check(&self) -> Result<(), Error<M::Error>> {
        self.placement.mark.map_or(Ok(()), |_| self.journal.refuse_later())
    }

    /// Returns a position before which everything is durable, at most the start of this claim.
    #[inline]
    fn durable(&self) -> u64 {
        self.journal.in_flight.durable().min(self.placement.start)
    }

    /// Makes a record durable.
    #[inline]
    fn store(&self, payload: &[u8]) -> Result<(), Error<M::Error>> {
        // With page granularity each write-back is a system call, so one call for the whole record is faster.
        let is_small = payload.len() <= SMALL
            || matches!(self.journal.medium.granularity(), Granularity::Page(_));
        if is_small { self.store_small(payload) } else { self.store_large(payload) }
    }

    /// Makes a record durable with ordinary stores of words, the fastest method for a few lines and for pages.
    #[inline]
    fn store_small(&self, payload: &[u8]) -> Result<(), Error<M::Error>> {
        let Journal { medium, geometry, .. } = self.journal;
        let (position, key) = (self.placement.record, self.journal.mark.epoch.key);
        let at = geometry.place(position);
        let vouch = Vouch::new(position, self.durable());
        let header = Header::untagged(Kind::Data, vouch, payload.len() as u64);
        let seed = header.seed(key, position);
        let words = &payload[..payload.len() / WORD * WORD];
        let mut last = [0; WORD];
        let rest = &payload[words.len()..];
        last[..rest.len()].copy_from_slice(rest);
        let last = if rest.is_empty() { &[][..] } else { &last };
        let end = at + HEADER + (words.len() + last.len()) as u64;
        // These stores come before the tag is computed, so that the lines are fetched meanwhile. The write-back comes
        // after all stores: on AMD a store waits for a write-back in progress.
        medium.store(at + WORD as u64, header.second_word(position), Ordering::Relaxed);
        medium.write(at + HEADER, words);
        medium.write(at + HEADER + words.len() as u64, last);
        // A reader that sees the tag sees everything that the record vouches for.
        medium.store(at, tag::of(seed, payload), Ordering::Release);
        self.complete(at..end, Ok(()))
    }

    /// Makes a long record durable with the fastest stores. The record is cut at line boundaries, so that no line is
    /// stored to by two parts. The tag is computed while the stores drain.
    #[expect(unsafe_code, reason = "the copy is not ordered before the tag")]
    fn store_large(&self, payload: &[u8]) -> Result<(), Error<M::Error>> {
        let Journal { medium, geometry, .. } = self.journal;
        let (position, key) = (self.placement.record, self.journal.mark.epoch.key);
        let at = geometry.place(position);
        let vouch = Vouch::new(position, self.durable());
        let header = Header::untagged(Kind::Data, vouch, payload.len() as u64);

        let to_line = LINE - (at + HEADER) as usize % LINE;
        let (first, rest) = payload.split_at(to_line);
        let (middle, last) = rest.split_at(rest.len() - rest.len() % LINE);
        let mut end = [0; LINE];
        end[..last.len()].copy_from_slice(last);
        let end = &end[..last.len().next_multiple_of(WORD)];
        let middle_at = at + HEADER + to_line as u64;
        let end_at = middle_at + middle.len() as u64;
        // SAFETY: a reader that sees the tag before these bytes finds a mismatch. No code relies on more than that.
        let copied = unsafe { medium.copy_unordered(&[(middle_at, middle), (end_at, end)]) };
        let tag = tag::of(header.seed(key, position), payload);
        medium.write(at, &Header { tag, ..header }.bytes(position));
        medium.write(at + HEADER, first);
        self.complete(at..middle_at, copied)
    }

    /// Makes parts of the medium durable, together with the void and the mark before the record.
    fn persist(&self, parts: &[(u64, &[u8])]) -> Result<(), Error<M::Error>> {
        let written = self.write_before();
        written.and(self.journal.medium.persist_copy(parts)).map_err(Error::medium)
    }

    /// Writes back the record's range, with the void and the mark before it, and fences.
    #[inline]
    fn complete(
        &self,
        record: Range<u64>,
        written: Result<(), M::Error>,
    ) -> Result<(), Error<M::Error>> {
        let medium = &self.journal.medium;
        let written = written.and(medium.issue_writeback(record)).and(self.write_before());
        // The fence is also needed after a failure: it orders the stores of the other parts.
        let fenced = medium.fence();
        written.and(fenced).map_err(Error::medium)
    }

    /// Writes the void and the mark before the record, if any, and issues their write-back.
    #[inline]
    fn write_before(&self) -> Result<(), M::Error> {
        self.placement.mark.map_or(Ok(()), |mark| self.enter_segment(mark))
    }

    #[cold]
    fn enter_segment(&self, mark: u64) -> Result<(), M::Error> {
        let Journal { medium, geometry, mark: content, identity, .. } = self.journal;
        let write = |position, bytes: &[u8]| {
            let at = geometry.place(position);
            medium.write(at, bytes);
            medium.issue_writeback(at..at + bytes.len() as u64)
        };
        if let Some(at) = self.placement.void {
            write(at, &void(content.epoch.key, at, geometry.left(at)))?;
        }
        write(mark, &content.bytes(*identity, mark))
    }

    /// Records that the whole claim is durable, waits until everything before it is durable too, and confirms that.
    #[inline]
    fn acknowledged(&mut self) -> Result<(), Error<M::Error>> {
        self.is_done = true;
        let (in_flight, end) = (&self.journal.in_flight, self.placement.end);
        in_flight.done(&self.placement);
        let mut durable = in_flight.advance();
        if durable < end {
            durable = in_flight.reach(end);
        }
        if durable < end {
            return Err(self.journal.failed());
        }
        self.journal.confirm(durable);
        Ok(())
    }
}

impl<M: Medium> Drop for Claim<'_, M> {
    fn drop(&mut self) {
        if !self.is_done {
            // No thread waits for a record that will not come.
            self.journal.in_flight.fail(self.placement.start);
        }
    }
}
