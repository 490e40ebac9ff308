//! Records one after the other, as far as they prove themselves.

use super::format::record::{Epoch, HEADER, Header, Kind, MARK, Mark, is_void};
use super::format::superblock::Superblock;
use super::{Fault, checksum_of_payload};
use crate::medium::Readable;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

/// What is at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A record of so many bytes; they are in the walk's buffer.
    Record { position: u64, len: usize },
    /// A mark, or nothing: go on.
    Passed,
    /// Nothing that proves itself.
    End(Fault),
}

/// A walk from one record to the next.
#[derive(Debug)]
pub(super) struct Walk<'m, M> {
    pub(super) medium: &'m M,
    pub(super) superblock: Superblock,
    /// The end of what can be there.
    pub(super) limit: u64,
    /// Where the next record begins.
    pub(super) at: u64,
    /// That of the last record.
    pub(super) epoch: Epoch,
    /// What is behind it is of no interest.
    pub(super) bound: u64,
    buffer: Vec<u8>,
}

impl<'m, M: Readable> Walk<'m, M> {
    /// A walk from the oldest record on.
    pub(super) fn new(medium: &'m M, superblock: Superblock) -> Self {
        let limit = superblock.geometry.limit(superblock.head);
        let (at, epoch) = (superblock.head, superblock.head_epoch);
        Self { medium, superblock, limit, at, epoch, bound: u64::MAX, buffer: Vec::new() }
    }

    /// The same up to a position.
    pub(super) fn up_to(self, bound: u64) -> Self {
        Self { bound, ..self }
    }

    /// The payload of the last record, of `len` bytes.
    pub(super) fn payload(&self, len: usize) -> &[u8] {
        &self.buffer[..len]
    }

    /// Takes the next step.
    #[inline]
    pub(super) fn step(&mut self) -> Result<Step, M::Error> {
        let geometry = self.superblock.geometry;
        let at = geometry.settled(self.at);
        if at >= self.limit.min(self.bound) {
            return Ok(Step::End(Fault::Nothing));
        }
        let header = match self.header(at) {
            Ok(header) => header,
            Err(fault) => return Ok(Step::End(fault)),
        };
        if header.kind == Kind::Void && geometry.left(at) != geometry.segment {
            return Ok(self.pass(at, header, is_void(self.superblock.identity, header)));
        }
        let is_data = header.kind == Kind::Data
            && geometry.left(at) != geometry.segment
            && (self.epoch == self.superblock.epoch || at < self.superblock.epoch_start);
        if is_data {
            if !self.proves(at, header, self.epoch.seed)? {
                return Ok(Step::End(Fault::Checksum));
            }
            self.at = at + geometry.size(header.len);
            return Ok(Step::Record { position: at, len: header.len as usize });
        }
        let mark = self.mark(at, header)?;
        let Some(mark) = mark.filter(|mark| self.continues(at, mark)) else {
            return Ok(Step::End(Fault::Mark));
        };
        self.epoch = mark.epoch;
        Ok(self.pass(at, header, true))
    }

    /// Whether a record proves itself. Its payload is in the buffer then.
    #[inline]
    pub(super) fn proves(&mut self, at: u64, header: Header, seed: u32) -> Result<bool, M::Error> {
        let padded = header.len.next_multiple_of(8) as usize;
        if self.buffer.len() < padded {
            self.buffer.resize(padded, 0);
        }
        let bytes = &mut self.buffer[..padded];
        self.medium.read(self.superblock.geometry.place(at) + HEADER, bytes)?;
        Ok(checksum_of_payload(seed, at, header.len, bytes) == header.checksum)
    }

    fn pass(&mut self, at: u64, header: Header, is_whole: bool) -> Step {
        if !is_whole {
            return Step::End(Fault::Checksum);
        }
        self.at = at + self.superblock.geometry.size(header.len);
        Step::Passed
    }

    /// Whether what is at a position says that it is. One word tells nearly always that nothing is there.
    #[inline]
    pub(super) fn names_itself(&self, at: u64) -> bool {
        let geometry = &self.superblock.geometry;
        geometry.left(at) >= HEADER && self.medium.load(geometry.place(at) + 8, Relaxed) == at
    }

    /// The header at a position, if it is one of that position and its record can be there.
    #[inline]
    pub(super) fn header(&self, at: u64) -> Result<Header, Fault> {
        let geometry = &self.superblock.geometry;
        let place = geometry.place(at);
        if !self.names_itself(at) {
            return Err(Fault::Nothing);
        }
        let first = self.medium.load(place, Relaxed);
        let header = Header::read([first, at]).ok_or(Fault::Header)?;
        if geometry.size(header.len) > geometry.left(at) {
            return Err(Fault::Length(header.len));
        }
        Ok(header)
    }

    /// The mark at a position, if it is one of this journal and proves itself.
    pub(super) fn mark(&self, at: u64, header: Header) -> Result<Option<Mark>, M::Error> {
        let mut payload = [0; MARK as usize];
        if header.kind != Kind::Mark || header.len != MARK {
            return Ok(None);
        }
        self.medium.read(self.superblock.geometry.place(at) + HEADER, &mut payload)?;
        let mark = Mark::read(header, &payload);
        Ok(mark.filter(|mark| mark.identity == self.superblock.identity))
    }

    /// Whether a mark can come here: epochs only rise, and only the last one is behind its beginning.
    pub(super) fn continues(&self, at: u64, mark: &Mark) -> bool {
        let Superblock { epoch, epoch_start, .. } = self.superblock;
        if at >= epoch_start {
            return mark.epoch == epoch;
        }
        (self.epoch.number..=epoch.number).contains(&mark.epoch.number)
    }
}
