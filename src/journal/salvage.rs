//! The records that are whole after damage.

use super::error::Error;
use super::format::record::{Epoch, Kind};
use super::format::superblock::Superblock;
use super::walk::{Step, Walk};
use super::{Position, Record};
use crate::medium::Readable;
use core::ops::Range;

/// What is found by salvaging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Salvaged {
    /// A record that proves itself. After something skipped it may be one that was never acknowledged, and
    /// records before it may be missing.
    Record(Record),
    /// Nothing in this range proves itself.
    Skipped(Range<Position>),
}

/// Everything that proves itself, from the oldest record on; made by
/// [`Reader::salvage`](super::Reader::salvage). At damage it goes on at the next record, which says itself
/// where it belongs: all of the rest of the journal is looked through, so it takes as long as that takes. A record
/// of which all marks are lost that tell the key of its epoch, those of its own segment and of the next
/// one, cannot prove itself.
#[derive(Debug)]
pub struct Salvage<'r, M: Readable> {
    walk: Walk<'r, M>,
    /// The epoch in which the walk was where it skipped something last.
    before: Epoch,
    is_over: bool,
}

impl<'r, M: Readable> Salvage<'r, M> {
    pub(super) const fn new(walk: Walk<'r, M>) -> Self {
        let before = walk.epoch;
        Self { walk, before, is_over: false }
    }

    /// How far it has come.
    #[must_use]
    pub const fn reached(&self) -> Position {
        Position(self.walk.at)
    }

    /// The epoch of what is before the range that was skipped last, and of what is behind it.
    pub(super) const fn epochs_around(&self) -> [Epoch; 2] {
        [self.before, self.walk.epoch]
    }

    /// True if a mark is at the current position.
    pub(super) fn is_at_mark(&self) -> Result<bool, M::Error> {
        Ok(self.walk.mark(self.walk.at)?.is_some())
    }

    /// Goes through the rest, and returns the end of the last record that proves itself.
    pub(super) fn end_of_records(&mut self) -> Result<u64, M::Error> {
        while !self.is_over {
            self.step()?;
        }
        Ok(self.walk.last.0)
    }

    /// Goes on behind the last record, up to the limit of a superblock with a later head.
    pub(super) const fn go_on_with(&mut self, superblock: Superblock) {
        self.walk.limit = superblock.geometry.limit(superblock.head);
        self.walk.superblock = superblock;
        (self.walk.at, self.walk.epoch) = self.walk.last;
        self.is_over = false;
    }

    fn step(&mut self) -> Result<Option<Salvaged>, M::Error> {
        loop {
            match self.walk.step()? {
                Step::Passed => {}
                Step::Record { position, len } => {
                    return Ok(Some(Salvaged::Record(Record {
                        position: Position(position),
                        end: Position(self.walk.at),
                        payload: self.walk.payload(len).to_vec(),
                    })));
                }
                Step::End(_) => {
                    let from = self.walk.at;
                    self.before = self.walk.epoch;
                    if self.walk.resume()? {
                        return Ok(Some(Salvaged::Skipped(Position(from)..self.reached())));
                    }
                    self.is_over = true;
                    return Ok(None);
                }
            }
        }
    }
}

impl<M: Readable> Iterator for Salvage<'_, M> {
    type Item = Result<Salvaged, Error<M::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let step = self.step();
        self.is_over |= step.is_err();
        step.map_err(Error::medium).transpose()
    }
}

impl<M: Readable> Walk<'_, M> {
    /// Goes on to the next place where something proves itself.
    fn resume(&mut self) -> Result<bool, M::Error> {
        let geometry = self.superblock.geometry;
        let from = geometry.settled(self.at) + 8;
        for at in (from..self.limit).step_by(8) {
            if !self.names_itself(at) {
                continue;
            }
            if let Some(epoch) = self.proven(at)? {
                (self.at, self.epoch) = (at, epoch);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The epoch to go on in at `at`, if something proves itself there.
    fn proven(&mut self, at: u64) -> Result<Option<Epoch>, M::Error> {
        let Ok(header) = self.header(at) else { return Ok(None) };
        match header.kind {
            Kind::Mark => {
                let mark = self.mark(at)?;
                Ok(mark.filter(|mark| self.continues(at, mark)).map(|mark| mark.epoch))
            }
            // Nothing is there to be salvaged.
            Kind::Void => Ok(None),
            Kind::Data => {
                for epoch in self.epochs(at)?.into_iter().flatten() {
                    if self.proves(at, header, epoch.key)? {
                        return Ok(Some(epoch));
                    }
                }
                Ok(None)
            }
        }
    }

    /// The epochs that a record can be of: the last one behind its beginning; before it that of the record
    /// before the damage, or that which the next segment begins in.
    fn epochs(&self, at: u64) -> Result<[Option<Epoch>; 2], M::Error> {
        let geometry = self.superblock.geometry;
        if at >= self.superblock.epoch_start {
            return Ok([Some(self.superblock.epoch), None]);
        }
        let next = geometry.segment_of(at) + geometry.segment;
        let mark = if next < self.limit { self.mark(next)? } else { None };
        let mark = mark.filter(|mark| self.continues(next, mark));
        Ok([Some(self.epoch), mark.map(|mark| mark.epoch)])
    }
}
