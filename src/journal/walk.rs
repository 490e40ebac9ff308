//! A walk from one record to the next, as long as they are valid.

use super::Fault;
use super::format::WORD;
use super::format::geometry::{Geometry, HEADER, MARK};
use super::format::record::{Epoch, Header, Kind, Mark, names};
use super::format::superblock::Superblock;
use crate::medium::Readable;
use alloc::vec::Vec;
use core::sync::atomic;
use core::sync::atomic::Ordering::{Acquire, Relaxed};

/// The result of a step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A record with `len` bytes of payload, which are in the walk's buffer.
    Record { position: u64, len: usize },
    /// A mark or a void, which was passed.
    Passed,
    /// The end: no valid record is there.
    End(Fault),
}

/// A walk from one record to the next.
#[derive(Debug)]
pub(super) struct Walk<'m, M> {
    pub(super) medium: &'m M,
    pub(super) superblock: Superblock,
    /// The end of the space that can have records.
    pub(super) limit: u64,
    /// The position at which the next record begins.
    pub(super) at: u64,
    /// The epoch of the last mark.
    pub(super) epoch: Epoch,
    /// The end of the last record, and its epoch.
    pub(super) last: (u64, Epoch),
    /// The end of the records to read.
    pub(super) bound: u64,
    pub(super) patience: Patience,
    buffer: Vec<u8>,
}

/// Returns the number of times that the bytes of a segment may be verified in vain.
///
/// Torn records with whole headers have at most the bytes of the segment, and are verified with two keys at most. A payload
/// of equal words names its own position once in each 2^16 words, and can read as a header there, of one length. Those that
/// fit take a quarter of the segment for each 512 KiB, with each key. More bytes are crafted: nested records.
const fn patience(segment: u64) -> u64 {
    4 + (segment >> 20)
}

/// A bound for the work on bytes that are not valid records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    segment: u64,
    /// Bytes of the segment that were verified in vain.
    spent: u64,
}

impl Patience {
    /// Returns true if more bytes may be verified in the segment, which has `bytes` bytes.
    const fn has_some(&mut self, segment: u64, bytes: u64) -> bool {
        if self.segment != segment {
            *self = Self { segment, spent: 0 };
        }
        self.spent <= patience(bytes) * bytes
    }
}

impl<'m, M: Readable> Walk<'m, M> {
    /// Returns a walk from the oldest record on.
    pub(super) fn new(medium: &'m M, superblock: Superblock) -> Self {
        let limit = superblock.geometry.limit(superblock.head);
        let (at, epoch) = (superblock.head, superblock.head_epoch);
        let (last, bound) = ((at, epoch), u64::MAX);
        let (patience, buffer) = (Patience::default(), Vec::new());
        Self { medium, superblock, limit, at, epoch, last, bound, patience, buffer }
    }

    /// Returns the payload of the last record, of `len` bytes.
    pub(super) fn payload(&self, len: usize) -> &[u8] {
        &self.buffer[..len]
    }

    /// Takes the next step.
    #[inline]
    pub(super) fn step(&mut self) -> Result<Step, M::Error> {
        let step = self.step_over_bytes()?;
        if matches!(step, Step::End(_)) {
            // The bytes of a medium that has failed look like an end, too.
            self.medium.check()?;
        }
        Ok(step)
    }

    #[inline]
    fn step_over_bytes(&mut self) -> Result<Step, M::Error> {
        let geometry = self.superblock.geometry;
        let at = geometry.settled(self.at);
        if at >= self.limit.min(self.bound) {
            return Ok(Step::End(Fault::Nothing));
        }
        let header = match self.header(at) {
            Ok(header) => header,
            Err(fault) => return Ok(Step::End(fault)),
        };
        match header.kind {
            Kind::Data if self.may_be(at, header) => {
                if !self.proves(at, header, self.epoch.key)? {
                    return Ok(Step::End(Fault::Tag));
                }
                self.at = at + geometry.size(header.len);
                self.last = (self.at, self.epoch);
                Ok(Step::Record { position: at, len: header.len as usize })
            }
            Kind::Void if self.may_be(at, header) => {
                if !header.proves(self.epoch.key, at, &[]) {
                    return Ok(Step::End(Fault::Tag));
                }
                // A mark that an opening stored before this void is seen in its place then, and not an older one.
                atomic::fence(Acquire);
                self.at = at + geometry.size(header.len);
                Ok(Step::Passed)
            }
            _ => {
                let mark = self.mark(at)?;
                let Some(mark) = mark.filter(|mark| self.continues(at, mark)) else {
                    return Ok(Step::End(Fault::Mark));
                };
                self.epoch = mark.epoch;
                self.at = at + geometry.size(MARK);
                Ok(Step::Passed)
            }
        }
    }

    /// Returns true if a record other than a mark can be here. A segment begins with a mark. So does an epoch, except
    /// for a void before the mark if no mark fits there.
    fn may_be(&self, at: u64, header: Header) -> bool {
        let geometry = self.superblock.geometry;
        let is_in_epoch = at < self.superblock.epoch_start || self.epoch == self.superblock.epoch;
        let leads_to_segment = header.kind == Kind::Void
            && geometry.size(header.len) == geometry.left(at)
            && geometry.left(at) < geometry.size(MARK);
        geometry.left(at) != geometry.segment && (is_in_epoch || leads_to_segment)
    }

    /// Returns true if a record is valid. Its payload is in the buffer then.
    #[inline]
    pub(super) fn proves(&mut self, at: u64, header: Header, key: u64) -> Result<bool, M::Error> {
        let geometry = self.superblock.geometry;
        if !self.patience.has_some(geometry.segment_of(at), geometry.segment) {
            return Ok(false);
        }
        let len = header.len as usize;
        let padded = len.next_multiple_of(8);
        if self.buffer.len() < padded {
            self.buffer.resize(padded, 0);
        }
        // These are whole words, which a concurrent writer never tears.
        let bytes = &mut self.buffer[..padded];
        self.medium.read(self.superblock.geometry.place(at) + HEADER, bytes)?;
        let is_proved = header.proves(key, at, &bytes[..len]);
        if !is_proved {
            self.patience.spent += header.len;
        }
        Ok(is_proved)
    }

    /// Returns true if a header at a position states this position. One word nearly always suffices to rule out a
    /// record.
    #[inline]
    pub(super) fn names_itself(&self, at: u64) -> bool {
        let geometry = &self.superblock.geometry;
        geometry.is_aligned(at)
            && geometry.left(at) >= HEADER
            && names(self.medium.load(geometry.place(at) + 8, Relaxed), at)
    }

    /// Returns the header at a position, if it states this position and its record fits there.
    #[inline]
    pub(super) fn header(&self, at: u64) -> Result<Header, Fault> {
        let geometry = &self.superblock.geometry;
        let place = geometry.place(at);
        if !self.names_itself(at) {
            return Err(Fault::Nothing);
        }
        let words = [place, place + 8].map(|place| self.medium.load(place, Relaxed));
        let header = Header::read(words).ok_or(Fault::Header)?;
        if geometry.size(header.len) > geometry.left(at) {
            return Err(Fault::Length(header.len));
        }
        Ok(header)
    }

    /// Returns the mark at a position, if it is valid and belongs to this journal.
    pub(super) fn mark(&self, at: u64) -> Result<Option<Mark>, M::Error> {
        let found = self.mark_in_place_of(at)?;
        Ok(found.filter(|(position, _)| *position == at).map(|(_, mark)| mark))
    }

    /// Returns the mark at the offset of a position, of any lap, and the mark's own position. The mark must be valid
    /// and belong to this journal.
    pub(super) fn mark_in_place_of(&self, at: u64) -> Result<Option<(u64, Mark)>, M::Error> {
        let Superblock { identity, geometry, .. } = self.superblock;
        if geometry.left(at) < geometry.size(MARK) {
            return Ok(None);
        }
        let found = mark_at(self.medium, geometry.place(at))?;
        Ok(found.filter(|(_, mark)| mark.is_of(identity, geometry)))
    }

    /// Returns true if a mark can come here: epochs only rise, and after the start of the last epoch is only that
    /// epoch.
    pub(super) fn continues(&self, at: u64, mark: &Mark) -> bool {
        let Superblock { epoch, epoch_start, .. } = self.superblock;
        if at >= epoch_start {
            return mark.epoch == epoch;
        }
        (self.epoch.number..=epoch.number).contains(&mark.epoch.number)
    }
}

/// Returns the mark at an offset of the medium, and its position.
fn mark_at<M: Readable>(medium: &M, place: u64) -> Result<Option<(u64, Mark)>, M::Error> {
    let words = [place, place + 8].map(|place| medium.load(place, Relaxed));
    if Header::read(words).is_none_or(|header| header.kind != Kind::Mark) {
        return Ok(None);
    }
    let mut payload = [0; MARK as usize];
    medium.read(place + HEADER, &mut payload)?;
    Ok(Mark::read(words, &payload))
}

/// Returns the mark at an offset of the medium and its position, if the position belongs to this offset.
pub(super) fn mark_in_place<M: Readable>(
    medium: &M,
    place: u64,
) -> Result<Option<(u64, Mark)>, M::Error> {
    let found = mark_at(medium, place)?;
    let belongs = |position, geometry: Geometry| {
        geometry.is_aligned(position) && geometry.place(position) == place
    };
    Ok(found.filter(|(position, mark)| belongs(*position, mark.geometry)))
}

/// Returns the first mark of the medium from offset `start` on, which states the sizes.
pub(super) fn first_mark<M: Readable>(medium: &M, start: u64) -> Result<Option<Mark>, M::Error> {
    let end = medium.len().saturating_sub(Mark::SIZE as u64);
    for place in (start..=end).step_by(WORD as usize) {
        if let Some((_, mark)) = mark_in_place(medium, place)? {
            return Ok(Some(mark));
        }
    }
    medium.check()?;
    Ok(None)
}
