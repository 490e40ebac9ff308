//! Appending: each producer makes its own records durable, then waits for the records before them.

use super::error::{Error, ErrorKind};
use super::geometry::{HEADER, MARK, Placement, Position};
use super::group::Group;
use super::inflight::Refused;
use super::journal::Journal;
use super::record::{Kind, Mark, header, second_word, seed};
use cachemaint::medium::Medium;
use cachemaint_format::tag;
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
    /// record. [`FormatError::AnotherWriter`](super::FormatError::AnotherWriter) if another writer opened the journal
    /// and this one begins a segment: without a working lock, that is found too late or not at all.
    ///
    /// # Cost
    /// One write-back of its lines and one fence. With page granularity, one system call, or up to three at the start
    /// of a segment. The call also waits for earlier records that other threads are still appending.
    pub fn append(&self, payload: &[u8]) -> Result<Position, Error<M::Error>> {
        let mut claim = self.claim(payload.len() as u64)?;
        claim.store(payload).map_err(Error::medium)?;
        claim.acknowledged()?;
        Ok(Position(claim.placement.record))
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
        let mut claim = self.claim(size.saturating_sub(HEADER))?;
        let placement = claim.placement;
        let mark = placement.mark.map(|position| claim.mark(position));
        let bytes = group.seal(&self.geometry, &placement, self.epoch.key, mark.as_ref());
        let at = self.geometry.place(placement.mark.unwrap_or(placement.record));
        self.medium.persist_copy(&[(at, bytes)]).map_err(Error::medium)?;
        claim.acknowledged()?;
        group.clear();
        Ok(Position(placement.record)..Position(placement.end))
    }

    /// Reserves space for a payload of `len` bytes.
    // Inline, since a claim in memory stalls what depends on it.
    #[inline(always)]
    fn claim(&self, len: u64) -> Result<Claim<'_, M>, Error<M::Error>> {
        let size = self.geometry.size(len);
        if size > self.geometry.segment - self.geometry.size(MARK) {
            return Err(Error::new(ErrorKind::TooLong { len, limit: self.largest() }));
        }
        let mut looked = u64::MAX;
        let placement = loop {
            match self.in_flight.reserve(size, looked) {
                Ok(placement) => break placement,
                Err(Refused::Busy) => self.in_flight.wait_for_window(size),
                Err(Refused::Segment(segment)) => {
                    self.refuse_later().inspect_err(|_| self.in_flight.fail_later())?;
                    looked = segment;
                }
                Err(Refused::Failed) => return Err(self.failed()),
                Err(Refused::Full { needed, free }) => {
                    return Err(Error::new(ErrorKind::Full { needed, free }));
                }
            }
        };
        Ok(Claim { journal: self, placement, is_done: false })
    }
}

/// Space that belongs to one producer. If it does not become a durable record, dropping it fails the journal.
#[derive(Debug)]
struct Claim<'j, M: Medium> {
    journal: &'j Journal<M>,
    placement: Placement,
    is_done: bool,
}

impl<M: Medium> Claim<'_, M> {
    /// Makes a record durable, with the mark before it. Up to a few lines, and for pages, ordinary stores of words are the
    /// fastest.
    #[inline]
    fn store(&self, payload: &[u8]) -> Result<(), M::Error> {
        let Journal { medium, geometry, epoch, .. } = self.journal;
        let Placement { record: position, durable, mark, .. } = self.placement;
        let at = geometry.place(position);
        let second = second_word(Kind::Data, durable, payload.len() as u64, position);
        // With page granularity each write-back is a system call, so one call for the whole record is faster.
        let is_large = payload.len() > SMALL && !medium.granularity().is_by_pages();
        let (end, copied) = if is_large {
            self.store_large(at, second, payload)
        } else {
            let seed = seed(epoch.key, second, position);
            let words = &payload[..payload.len() / WORD * WORD];
            let mut last = [0; WORD];
            let rest = &payload[words.len()..];
            last[..rest.len()].copy_from_slice(rest);
            let last = if rest.is_empty() { &[][..] } else { &last };
            // These stores come before the tag is computed, so that the lines are fetched meanwhile. The write-back comes
            // after all stores: on AMD a store waits for a write-back in progress.
            medium.store(at + WORD as u64, second, Ordering::Relaxed);
            medium.write(at + HEADER, words);
            medium.write(at + HEADER + words.len() as u64, last);
            // A reader that sees the tag sees everything that the record vouches for.
            medium.store(at, tag::of(seed, payload), Ordering::Release);
            (at + HEADER + (words.len() + last.len()) as u64, Ok(()))
        };
        let from = mark.map_or(at, |position| self.store_mark(position));
        let written = copied.and(medium.issue_writeback(from..end));
        // The fence is also needed after a failure: it orders the stores of the other parts.
        let fenced = medium.fence();
        written.and(fenced)
    }

    /// Stores a long record with the fastest stores, and returns the end of the part that has yet to be written back. The
    /// record is cut at line boundaries, so that no line is stored to by two parts. The tag is computed while the stores
    /// drain.
    #[inline(never)]
    #[expect(unsafe_code, reason = "the copy is not ordered before the tag")]
    fn store_large(&self, at: u64, second: u64, payload: &[u8]) -> (u64, Result<(), M::Error>) {
        let Journal { medium, epoch, .. } = self.journal;
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
        medium.write(at, &header(epoch.key, second, self.placement.record, payload));
        medium.write(at + HEADER, first);
        (middle_at, copied)
    }

    /// Stores the mark at a position, directly before the record, and returns its offset: they are written back together.
    #[cold]
    fn store_mark(&self, position: u64) -> u64 {
        let Journal { medium, geometry, .. } = self.journal;
        let at = geometry.place(position);
        medium.write(at, &self.mark(position));
        at
    }

    /// Returns the bytes of the mark at a position.
    fn mark(&self, position: u64) -> [u8; Mark::SIZE] {
        let Journal { geometry, epoch, before, identity, .. } = self.journal;
        let Placement { start, durable, .. } = self.placement;
        let is_first = position == geometry.next_segment(*before);
        let before = if is_first { *before } else { start };
        Mark { position, epoch: *epoch, before, durable }.bytes(*identity)
    }

    /// Records that the whole claim is durable, waits until everything before it is durable too, and confirms that.
    #[inline(always)]
    fn acknowledged(&mut self) -> Result<(), Error<M::Error>> {
        self.is_done = true;
        let (in_flight, end) = (&self.journal.in_flight, self.placement.end);
        let mut durable = in_flight.done(&self.placement);
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
