//! Salvage of intact records after damage.

use super::error::Error;
use super::geometry::Position;
use super::record::{Epoch, Kind};
use super::records::Record;
use super::walk::{Step, Walk};
use cachemaint::medium::Readable;
use core::ops::Range;

/// One step of a salvage: a record or a skipped range.
#[derive(Clone, Debug, PartialEq, Eq)]
// Exhaustive on purpose: a `_` that ignored a new kind would drop salvaged data.
pub enum Salvaged {
    /// A valid record. After a skipped range, it may never have been acknowledged, and records before it may be
    /// missing.
    Record(Record),
    /// A range without a valid record.
    Skipped(Range<Position>),
}

/// An iterator over all valid records, from the oldest one on. [`Reader::salvage`](super::Reader::salvage) returns it.
///
/// After damage it continues at the next valid record, which it searches for in the rest of the journal. To verify a
/// record, it needs the key of its epoch: from the mark of its segment, or if that is lost, from the last record before.
/// If an opening began there, the records of this one segment cannot be verified.
///
/// A damaged journal is not written to. Append its records to a new one, created with the [same
/// sizes](super::Options::sizes_of).
#[derive(Debug)]
pub struct Salvage<'r, M: Readable> {
    walk: Walk<'r, M>,
    /// The segment whose epoch was looked up last, and that epoch.
    epoch: (u64, Epoch),
    is_over: bool,
}

impl<'r, M: Readable> Salvage<'r, M> {
    pub(super) const fn new(walk: Walk<'r, M>) -> Self {
        let epoch = (u64::MAX, walk.epoch);
        Self { walk, epoch, is_over: false }
    }

    /// Returns the position up to which the journal was searched.
    #[must_use]
    pub const fn reached(&self) -> Position {
        Position(self.walk.at)
    }

    /// Moves to the next record or over a range.
    fn step(&mut self) -> Result<Option<Salvaged>, Error<M::Error>> {
        loop {
            match self.walk.step().map_err(Error::medium)? {
                Step::Passed => {}
                Step::Record { position, len } => {
                    return Ok(Some(Salvaged::Record(Record {
                        position: Position(position),
                        end: self.reached(),
                        payload: self.walk.payload(len).to_vec(),
                    })));
                }
                Step::End(_) => {
                    let from = self.reached();
                    if self.resume().map_err(Error::medium)? {
                        return Ok(Some(Salvaged::Skipped(from..self.reached())));
                    }
                    // What looks like an end can be another journal that has replaced this one.
                    self.walk.state.now(self.walk.medium)?;
                    return Ok(None);
                }
            }
        }
    }

    /// Moves to the next position with a valid record or mark. Returns true if one was found.
    fn resume(&mut self) -> Result<bool, M::Error> {
        let from = self.walk.at + 8;
        let mut found = None;
        for at in (from..self.walk.limit).step_by(8) {
            if let Some(epoch) = self.proven(at)? {
                found = Some((at, epoch));
                break;
            }
        }
        self.walk.medium.check()?;
        let Some((at, epoch)) = found else { return Ok(false) };
        (self.walk.at, self.walk.epoch, self.walk.last) = (at, epoch, at);
        Ok(true)
    }

    /// Returns the epoch at `at`, if a valid record or mark is there.
    fn proven(&mut self, at: u64) -> Result<Option<Epoch>, M::Error> {
        let Ok(header) = self.walk.header(at) else { return Ok(None) };
        let epoch = self.epoch_of(self.walk.state.geometry.segment_of(at))?;
        let is_valid = match header.kind {
            Kind::Mark => self.walk.mark(at)?.is_ok_and(|mark| mark.epoch == epoch),
            Kind::Data => {
                at < self.walk.end_of(at, epoch)? && self.walk.proves(at, header, epoch.key)?
            }
        };
        Ok(is_valid.then_some(epoch))
    }

    /// Returns the epoch of a segment by its mark, or else that of the last record. An epoch later than the root's shows
    /// that the newest root is lost.
    fn epoch_of(&mut self, segment: u64) -> Result<Epoch, M::Error> {
        if self.epoch.0 != segment {
            let last = self.walk.state.epoch.number;
            let found = match self.walk.mark(segment)? {
                Ok(mark) if mark.epoch.number > last => Some(mark.epoch),
                _ => self.walk.epoch_of(segment)?,
            };
            self.epoch = (segment, found.unwrap_or(self.walk.epoch));
        }
        Ok(self.epoch.1)
    }
}

impl<M: Readable> Iterator for Salvage<'_, M> {
    type Item = Result<Salvaged, Error<M::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let found = self.step().transpose();
        self.is_over = !matches!(found, Some(Ok(_)));
        found
    }
}
