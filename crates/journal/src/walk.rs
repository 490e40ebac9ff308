//! A walk from one record to the next, as long as they are valid.

use super::geometry::{HEADER, MARK, Position, WORD};
use super::record::{Epoch, Header, Kind, Mark, names};
use super::recovered::{Damage, Fault};
use super::state::State;
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use cachemaint_format::bounds::Patience;
use cachemaint_format::unreadable::if_readable;
use core::sync::atomic::Ordering::Relaxed;

/// The result of a step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A record with `len` bytes of payload, which are in the walk's buffer.
    Record { position: u64, len: usize },
    /// A mark, or the end of a segment or an epoch, which was passed over.
    Passed,
    /// The end: there is no valid record here.
    End(Fault),
}

/// A walk from one record to the next.
#[derive(Debug)]
pub(super) struct Walk<'m, M> {
    pub(super) medium: &'m M,
    pub(super) state: State,
    /// The end of the space that can hold records, or of the records to read.
    pub(super) limit: u64,
    /// The position at which the next record begins.
    pub(super) at: u64,
    /// The epoch of the next record.
    pub(super) epoch: Epoch,
    /// The end of the last record.
    pub(super) last: u64,
    /// A segment, and the bytes of it that may be verified in vain.
    pub(super) patience: (u64, Patience),
    /// A segment and an epoch, and the end of that epoch's records in that segment.
    ends: ((u64, u64), u64),
    buffer: Vec<u8>,
}

impl<'m, M: Readable> Walk<'m, M> {
    /// The patience of a new walk, with any segment.
    pub(super) const FRESH: (u64, Patience) = (u64::MAX, Patience::with(0));

    /// Returns a walk from the oldest record on.
    pub(super) fn new(medium: &'m M, state: State) -> Self {
        let limit = state.geometry.limit(state.head);
        let (at, epoch, last) = (state.head, state.head_epoch, state.head);
        let (patience, ends, buffer) = (Self::FRESH, ((u64::MAX, 0), 0), Vec::new());
        Self { medium, state, limit, at, epoch, last, patience, ends, buffer }
    }

    /// Moves to the start of a segment, if its epoch can be known from its mark, or is the last one. All records of a
    /// segment belong to one epoch.
    pub(super) fn enter(&mut self, segment: u64) -> Result<(), M::Error> {
        if let Some(epoch) = self.epoch_of(segment)? {
            (self.at, self.epoch, self.last) = (segment, epoch, segment);
        }
        Ok(())
    }

    /// Returns the epoch of the segment that begins here.
    pub(super) fn epoch_of(&self, segment: u64) -> Result<Option<Epoch>, M::Error> {
        let State { head_epoch, epoch, .. } = self.state;
        if segment >= self.state.start() {
            return Ok(Some(epoch));
        }
        let found = self.mark(segment)?.ok().map(|mark| mark.epoch);
        Ok(found.filter(|found| (head_epoch.number..epoch.number).contains(&found.number)))
    }

    /// Returns the payload of the last record, of `len` bytes.
    pub(super) fn payload(&self, len: usize) -> &[u8] {
        &self.buffer[..len]
    }

    /// Returns the damage at the current position. `evidence` was written after this place had become durable.
    pub(super) const fn damage(&self, evidence: u64, fault: Fault) -> Damage {
        let geometry = self.state.geometry;
        let offset = geometry.place(self.at);
        Damage { at: Position(self.at), offset, evidence: Position(evidence), fault }
    }

    /// Takes the next step.
    #[inline]
    pub(super) fn step(&mut self) -> Result<Step, M::Error> {
        let step = self.step_over_bytes()?;
        if matches!(step, Step::End(_)) {
            // The bytes of a failed medium look like an end, too.
            self.medium.check()?;
        }
        Ok(step)
    }

    #[inline]
    fn step_over_bytes(&mut self) -> Result<Step, M::Error> {
        let geometry = self.state.geometry;
        let at = self.at;
        if at >= self.end_of(at, self.epoch)? {
            return self.pass(Fault::Nothing);
        }
        let fault = match self.header(at) {
            Ok(Header { kind: Kind::Mark, .. }) => {
                let mark = self.mark(at)?;
                if mark.is_ok_and(|mark| mark.epoch == self.epoch) {
                    self.at = at + geometry.size(MARK);
                    return Ok(Step::Passed);
                }
                mark.err().unwrap_or(Fault::Tag)
            }
            Ok(header) if geometry.segment_of(at) != at => {
                match self.proof(at, header, self.epoch.key)? {
                    Ok(()) => {
                        self.at = at + geometry.size(header.len);
                        self.last = self.at;
                        return Ok(Step::Record { position: at, len: header.len as usize });
                    }
                    Err(fault) => fault,
                }
            }
            Ok(_) => Fault::Tag,
            Err(fault) => fault,
        };
        self.pass(fault)
    }

    /// Passes to the next segment, if its mark states that it was begun after the last record: the next record did not
    /// fit, or an opening found no other record and began an epoch. The root states that for the last epoch, which may
    /// have no mark yet. Otherwise this is the end.
    #[cold]
    fn pass(&mut self, fault: Fault) -> Result<Step, M::Error> {
        let State { geometry, epoch: newest, before, .. } = self.state;
        if self.epoch.number < newest.number && self.last == before {
            (self.at, self.epoch) = (self.state.start(), newest);
            return Ok(Step::Passed);
        }
        let next = geometry.next_segment(self.at);
        if next >= self.limit || self.epoch.number < newest.number && next >= before {
            return Ok(Step::End(fault));
        }
        match self.mark(next)? {
            Ok(Mark { before, epoch, .. })
                if before == self.last
                    && (epoch == self.epoch
                        || self.epoch.number < epoch.number && epoch.number < newest.number) =>
            {
                (self.at, self.epoch) = (next, epoch);
                Ok(Step::Passed)
            }
            // It may have led to more records.
            Err(Fault::Unreadable) => {
                self.at = next;
                Ok(Step::End(Fault::Unreadable))
            }
            _ => Ok(Step::End(fault)),
        }
    }

    /// Returns the end of an epoch's records, for the segment of `at`. The next epoch states it: the last one in the root,
    /// any other in its first mark. Records behind it are those of a writer that was replaced.
    #[inline]
    pub(super) fn end_of(&mut self, at: u64, epoch: Epoch) -> Result<u64, M::Error> {
        if epoch.number >= self.state.epoch.number {
            return Ok(self.limit);
        }
        let key = (self.state.geometry.segment_of(at), epoch.number);
        if self.ends.0 != key {
            self.ends = (key, self.stated_end(key)?);
        }
        Ok(self.limit.min(self.ends.1))
    }

    /// Returns the end of an earlier epoch's records in a segment.
    #[cold]
    fn stated_end(&self, (segment, number): (u64, u64)) -> Result<u64, M::Error> {
        let State { geometry, epoch: newest, before, .. } = self.state;
        let next = segment + geometry.segment;
        let mark = if next < before { self.mark(next)?.ok() } else { None };
        let later = mark.filter(|mark| (number + 1..newest.number).contains(&mark.epoch.number));
        Ok(later.map_or(before, |mark| mark.before))
    }

    /// Returns true if a record is valid. The buffer then holds its payload.
    pub(super) fn proves(&mut self, at: u64, header: Header, key: u64) -> Result<bool, M::Error> {
        self.proof(at, header, key).map(|proof| proof.is_ok())
    }

    /// Returns the fault of a record, if it is invalid.
    #[inline]
    fn proof(&mut self, at: u64, header: Header, key: u64) -> Result<Result<(), Fault>, M::Error> {
        let geometry = self.state.geometry;
        let segment = geometry.segment_of(at);
        if self.patience.0 != segment {
            self.patience = (segment, Patience::with(geometry.segment));
        }
        if self.patience.1.is_over() {
            return Ok(Err(Fault::Tag));
        }
        let len = header.len as usize;
        let padded = len.next_multiple_of(8);
        if self.buffer.len() < padded {
            self.buffer.resize(padded, 0);
        }
        // These are whole words, which a concurrent writer never tears.
        let bytes = &mut self.buffer[..padded];
        let read = self.medium.read(geometry.place(at) + HEADER, bytes);
        if if_readable(self.medium, read)?.is_none() {
            return Ok(Err(Fault::Unreadable));
        }
        if header.proves(key, at, &bytes[..len]) {
            return Ok(Ok(()));
        }
        self.patience.1.spend(header.len);
        Ok(Err(Fault::Tag))
    }

    /// Returns true if a header at a position states this position. This one word nearly always suffices to rule out a
    /// record.
    #[inline]
    fn states(&self, at: u64) -> Result<bool, Fault> {
        let geometry = &self.state.geometry;
        if !geometry.is_aligned(at) || geometry.left(at) < HEADER {
            return Ok(false);
        }
        Ok(names(self.word(geometry.place(at) + WORD)?, at))
    }

    /// Returns the header at a position, if it states this position and its record fits there.
    #[inline]
    pub(super) fn header(&self, at: u64) -> Result<Header, Fault> {
        let geometry = &self.state.geometry;
        if !self.states(at)? {
            return Err(Fault::Nothing);
        }
        let place = geometry.place(at);
        let header = Header::read([self.word(place)?, self.word(place + WORD)?]);
        header.filter(|header| geometry.size(header.len) <= geometry.left(at)).ok_or(Fault::Tag)
    }

    /// Returns a word. The caller then asks the medium whether it has failed as a whole.
    #[inline]
    pub(super) fn word(&self, place: u64) -> Result<u64, Fault> {
        self.medium.try_load(place, Relaxed).ok().ok_or(Fault::Unreadable)
    }

    /// Returns this journal's mark at a position. Marks occur only at the start of segments.
    pub(super) fn mark(&self, at: u64) -> Result<Result<Mark, Fault>, M::Error> {
        match self.states(at) {
            Ok(true) if self.state.geometry.segment_of(at) == at => {
                let found = self.mark_of_any_lap(at)?;
                Ok(found
                    .and_then(|mark| Some(mark).filter(|_| mark.position == at).ok_or(Fault::Tag)))
            }
            Ok(_) => Ok(Err(Fault::Nothing)),
            Err(fault) => Ok(Err(fault)),
        }
    }

    /// Returns this journal's mark in the place of a segment, from any lap.
    pub(super) fn mark_of_any_lap(&self, segment: u64) -> Result<Result<Mark, Fault>, M::Error> {
        let State { geometry, identity, .. } = self.state;
        let place = geometry.place(segment);
        let mut bytes = [0; Mark::SIZE];
        let read = self.medium.read(place, &mut bytes);
        if if_readable(self.medium, read)?.is_none() {
            return Ok(Err(Fault::Unreadable));
        }
        let found = Mark::read(identity, &bytes);
        Ok(found.filter(|mark| geometry.place(mark.position) == place).ok_or(Fault::Tag))
    }
}
