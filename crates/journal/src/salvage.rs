//! Salvage of intact records after damage.

use super::error::Error;
use super::geometry::Position;
use super::record::{Epoch, Kind};
use super::records::Record;
use super::state::State;
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
/// record, it needs the key of its epoch: from the mark of its segment, the next mark, or the mark of the last record
/// before the damage. If all of them are lost, the record cannot be verified.
///
/// A damaged journal is not written to. Append its records to a new one, created with the [same
/// sizes](super::Options::sizes_of).
#[derive(Debug)]
pub struct Salvage<'r, M: Readable> {
    walk: Walk<'r, M>,
    /// The segment whose epochs were looked up last, and those epochs.
    epochs: (u64, [Option<Epoch>; 2]),
    is_over: bool,
}

impl<'r, M: Readable> Salvage<'r, M> {
    pub(super) const fn new(walk: Walk<'r, M>) -> Self {
        Self { walk, epochs: (u64::MAX, [None; 2]), is_over: false }
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
        let from = self.walk.state.geometry.settled(self.walk.at) + 8;
        let mut found = None;
        for at in (from..self.walk.limit).step_by(8) {
            if self.walk.names_itself(at)
                && let Some(epoch) = self.proven(at)?
            {
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
        match header.kind {
            Kind::Mark => {
                let epoch = self.epoch_of(at)?;
                let mark = self.walk.mark(at)?.map(|mark| mark.epoch);
                Ok(epoch.filter(|_| epoch == mark))
            }
            // A void has no payload to salvage.
            Kind::Void => Ok(None),
            Kind::Data => {
                for epoch in self.epochs(at)?.into_iter().flatten() {
                    if self.walk.proves(at, header, epoch.key)? {
                        return Ok(Some(epoch));
                    }
                }
                Ok(None)
            }
        }
    }

    /// Returns the epoch of the segment that begins here. An epoch later than the root's shows that the newest root is
    /// lost.
    fn epoch_of(&self, segment: u64) -> Result<Option<Epoch>, M::Error> {
        let last = self.walk.state.epoch.number;
        match self.walk.mark(segment)? {
            Some(mark) if mark.epoch.number > last => Ok(Some(mark.epoch)),
            _ => self.walk.epoch_of(segment),
        }
    }

    /// Returns the epochs that a record at `at` can have: that of its segment's mark or, if it is later and began
    /// earlier, that of the next mark. If the mark is lost, that of the last record before the damage, and of the next
    /// mark.
    fn epochs(&mut self, at: u64) -> Result<[Option<Epoch>; 2], M::Error> {
        let State { geometry, before, .. } = self.walk.state;
        if (before..self.walk.state.start()).contains(&at) {
            return Ok([None; 2]);
        }
        let segment = geometry.segment_of(at);
        if self.epochs.0 != segment {
            let own = self.epoch_of(segment)?;
            let next = self.walk.mark(segment + geometry.segment)?;
            let next = next.filter(|next| next.before <= segment).map(|next| next.epoch);
            let found = match (own, next) {
                // The mark of the segment itself is a remain of an earlier epoch.
                (Some(own), Some(next)) if next.number > own.number => [Some(next), None],
                (Some(own), _) => [Some(own), None],
                (None, next) => [Some(self.walk.epoch), next],
            };
            self.epochs = (segment, found);
        }
        Ok(self.epochs.1)
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
