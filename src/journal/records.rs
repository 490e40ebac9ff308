//! The records one after the other: those that are acknowledged in a journal of this process, or those in a medium.

use super::error::{Error, ErrorKind};
use super::format::superblock::Superblock;
use super::inflight::InFlight;
use super::reader::{ATTEMPTS, Ending, Search, overtaken};
use super::walk::{Patience, Step, Walk};
use super::{Damage, Fault, Journal, Position, Record, superblocks};
use crate::medium::{Medium, Readable};
use alloc::vec::Vec;
use core::sync::atomic::{self, Ordering};

/// The records of a journal, in order; made by [`Journal::records`] or [`Reader::records`](super::Reader::records).
///
/// At the end there is `None`. Called again later, [`read_next`](Self::read_next) and [`next`](Iterator::next) go on
/// with the records that came meanwhile. Of a [`Journal`] these are the acknowledged ones, and no other. An iteration
/// ends at an error.
#[derive(Debug)]
pub struct Records<'r, M: Readable> {
    walk: Walk<'r, M>,
    /// What is under way, if the journal is open in this process.
    in_flight: Option<&'r InFlight>,
    /// The end after which all was searched for what would make it damage.
    searched: Option<u64>,
    is_over: bool,
}

impl<M: Medium> Journal<M> {
    /// Returns the acknowledged records, from the oldest one on.
    ///
    /// They are not those of this moment alone: a [`Records`] that is kept goes on with each record that is acknowledged
    /// later, over any number of laps. It borrows the journal, so a thread keeps it beside other threads that append and
    /// trim. [`wait_for_records`](Self::wait_for_records) shows such a consumer.
    ///
    /// # Errors
    /// If the medium fails, or another program has overwritten the superblocks.
    ///
    /// # Cost
    /// The superblocks are read.
    pub fn records(&self) -> Result<Records<'_, M>, Error<M::Error>> {
        let walk = Walk::new(&self.medium, superblocks::load(&self.medium)?);
        Ok(Records::acknowledged(walk, &self.in_flight))
    }

    /// Returns the acknowledged records from a position on, as [`records`](Self::records) does. A record begins or ends at
    /// the position, or it is the [head](Self::head) or the [end](Self::end).
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`], if no acknowledged record begins or ends there, or it was trimmed;
    /// [`ErrorKind::Damaged`], if the records before it in its segment are.
    ///
    /// # Cost
    /// The records before it in its segment are read, but for those before the head. To go on with a [`Records`] that was
    /// kept costs nothing.
    pub fn records_from(&self, position: Position) -> Result<Records<'_, M>, Error<M::Error>> {
        let (head, end) = (self.head(), self.end());
        if position > end {
            return Err(Error::new(ErrorKind::NotABoundary { position, head, end }));
        }
        let walk = walk_from(&self.medium, position, || superblocks::load(&self.medium))?;
        Ok(Records::acknowledged(walk, &self.in_flight))
    }
}

/// A walk from a position at which a record begins or ends. `current` returns the superblock as it is now.
pub(super) fn walk_from<M: Readable>(
    medium: &M,
    position: Position,
    current: impl Fn() -> Result<Superblock, Error<M::Error>>,
) -> Result<Walk<'_, M>, Error<M::Error>> {
    let mut superblock = current()?;
    for _ in 0..ATTEMPTS {
        let walk = Walk::at_boundary(medium, superblock, position.0);
        let Err(ErrorKind::Damaged(damage)) = walk.as_ref().map_err(Error::kind) else {
            return walk;
        };
        let now = current()?;
        if !superblock.is_outdated(&now, damage.at) {
            return walk;
        }
        superblock = now;
    }
    Err(overtaken(&superblock, position))
}

impl<'r, M: Readable> Records<'r, M> {
    /// All that is in the medium.
    pub(super) const fn new(walk: Walk<'r, M>) -> Self {
        Self { walk, in_flight: None, searched: None, is_over: false }
    }

    /// The acknowledged records alone.
    fn acknowledged(mut walk: Walk<'r, M>, in_flight: &'r InFlight) -> Self {
        walk.follow(in_flight);
        Self { in_flight: Some(in_flight), ..Self::new(walk) }
    }

    /// Puts the payload of the next record into a buffer, in place of what was there, and returns its position.
    ///
    /// Returns `None` at the end. Of a [`Journal`] all records are returned then that were acknowledged when this was
    /// called. Called again later, it goes on with the records that came meanwhile.
    ///
    /// # Errors
    /// - [`ErrorKind::NotABoundary`], if the next records were trimmed and their space was used again. As long as it is
    ///   not, they are returned. Go on with [`Journal::records`], from the oldest one.
    /// - [`ErrorKind::Damaged`], if the next record is damaged.
    /// - If the medium fails.
    ///
    /// # Cost
    /// The record is read once, and copied. Of a `Journal` `None` costs some loads from memory. Of a
    /// [`Reader`](super::Reader) it costs a look at both superblocks and at the space after the end; the first time at
    /// all of a window, and at a word of each segment.
    pub fn read_next(
        &mut self,
        payload: &mut Vec<u8>,
    ) -> Result<Option<Position>, Error<M::Error>> {
        match self.step()? {
            None => Ok(None),
            Some((position, len)) => {
                payload.clear();
                payload.extend_from_slice(self.walk.payload(len));
                Ok(Some(Position(position)))
            }
        }
    }

    /// Returns the position before which everything was read. It is where the last record ends. After `None` it can be
    /// later, as space that holds no record was passed; of a [`Journal`] it is the [end](Journal::end) of that time.
    ///
    /// No record that was not returned is before it. [`Journal::wait_for_records`] waits with it for the next record,
    /// [`Journal::trim`] trims all that was returned, and [`Journal::records_from`] goes on there.
    ///
    /// An opening may use the space after the last record again. So a program that notes a position for a later opening
    /// notes the one that this returns right after a record, not after `None`.
    #[must_use]
    pub const fn reached(&self) -> Position {
        Position(self.walk.at)
    }

    fn step(&mut self) -> Result<Option<(u64, usize)>, Error<M::Error>> {
        // A record that is being written may be looked at in vain as often as this is called.
        self.walk.patience = Patience::default();
        loop {
            match self.walk.step().map_err(Error::medium)? {
                Step::Record { position, len } => return Ok(Some((position, len))),
                Step::Passed => {}
                Step::End(fault) => {
                    let goes_on = match self.in_flight {
                        Some(in_flight) => self.walk.goes_on(in_flight, fault)?,
                        None => self.goes_on(fault)?,
                    };
                    if !goes_on {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Returns true if there is more where the records of a medium ended. Damage is an error.
    fn goes_on(&mut self, fault: Fault) -> Result<bool, Error<M::Error>> {
        if self.walk.renew()? {
            return Ok(true);
        }
        let search = match self.searched {
            Some(at) if at == self.walk.at => Search::Near,
            _ => Search::All,
        };
        match self.walk.ending(fault, search).map_err(Error::medium)? {
            Ending::More => Ok(true),
            Ending::End { .. } => {
                self.searched = Some(self.walk.at);
                Ok(false)
            }
            // An opening or a trim since the last look explains it. This ends: a head after this place is an error.
            Ending::Damage(_) if self.walk.renew()? => Ok(true),
            Ending::Damage(damage) => Err(Error::new(ErrorKind::Damaged(damage))),
        }
    }
}

impl<M: Readable> Iterator for Records<'_, M> {
    type Item = Result<Record, Error<M::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let record = match self.step() {
            Ok(None) => return None,
            Ok(Some((position, len))) => Ok(Record {
                position: Position(position),
                end: self.reached(),
                payload: self.walk.payload(len).to_vec(),
            }),
            Err(error) => Err(error),
        };
        self.is_over = record.is_err();
        Some(record)
    }
}

impl<'m, M: Readable> Walk<'m, M> {
    /// A walk from a position at which a record begins or ends.
    pub(super) fn at_boundary(
        medium: &'m M,
        superblock: Superblock,
        position: u64,
    ) -> Result<Self, Error<M::Error>> {
        let mut walk = Self::new(medium, superblock);
        let segment = superblock.geometry.segment_of(position);
        if segment > walk.at && segment < walk.limit {
            // Its mark tells the epoch; any before the last one will do to begin with.
            walk.at = segment;
            walk.last.0 = segment;
        }
        while walk.at < position {
            match walk.step().map_err(Error::medium)? {
                Step::Record { .. } | Step::Passed => {}
                Step::End(fault) => match walk.ending(fault, Search::All).map_err(Error::medium)? {
                    Ending::More => {}
                    Ending::End { .. } => break,
                    Ending::Damage(damage) => return Err(Error::new(ErrorKind::Damaged(damage))),
                },
            }
        }
        if walk.at == position {
            return Ok(walk);
        }
        let (head, end) = (Position(superblock.head), Position(walk.at));
        Err(Error::new(ErrorKind::NotABoundary { position: Position(position), head, end }))
    }

    /// Moves the bound to the end of the acknowledged records.
    fn follow(&mut self, in_flight: &InFlight) {
        self.bound = in_flight.advance();
        // What is acknowledged was reserved with this head or an earlier one.
        self.limit = self.superblock.geometry.limit(in_flight.head());
    }

    /// Returns true if more records were acknowledged since the bound was moved. If the walk ended before the bound, an
    /// acknowledged record does not prove itself, which is an error.
    fn goes_on(&mut self, in_flight: &InFlight, fault: Fault) -> Result<bool, Error<M::Error>> {
        let geometry = self.superblock.geometry;
        let (at, end) = (geometry.settled(self.at), self.bound);
        if at >= end {
            self.follow(in_flight);
            return Ok(self.bound > end);
        }
        // The space was used again after the head had moved.
        atomic::fence(Ordering::Acquire);
        let (position, head, end) = (Position(self.at), in_flight.head(), Position(end));
        if head > self.at {
            let head = Position(head);
            return Err(Error::new(ErrorKind::NotABoundary { position, head, end }));
        }
        let damage = Damage { at: position, offset: geometry.place(at), evidence: end, fault };
        Err(Error::new(ErrorKind::Damaged(damage)))
    }

    /// Reads the superblock again. Returns true if records can be where there were none.
    fn renew(&mut self) -> Result<bool, Error<M::Error>> {
        let superblock = superblocks::load(self.medium)?;
        if superblock.generation <= self.superblock.generation {
            return Ok(false);
        }
        let Superblock { geometry, head, head_epoch, epoch_start, .. } = superblock;
        let is_opened = superblock.epoch != self.superblock.epoch;
        if is_opened {
            // An opening reuses the positions after the last record, where this walk may have passed marks and voids.
            let (end, epoch) = self.last;
            (self.at, self.epoch) = (end.min(epoch_start), epoch);
        }
        if head > self.at {
            // Between the end of the last record and the beginning of the next epoch's first one there is no record.
            let follows = self.at == epoch_start && head <= geometry.beginning(epoch_start).end;
            if !follows {
                let (position, end) = (Position(self.at), Position(epoch_start.max(head)));
                let head = Position(head);
                return Err(Error::new(ErrorKind::NotABoundary { position, head, end }));
            }
            (self.at, self.epoch, self.last) = (head, head_epoch, (head, head_epoch));
        }
        let is_roomier = head > self.superblock.head;
        self.limit = geometry.limit(head);
        self.superblock = superblock;
        Ok(is_opened || is_roomier)
    }
}
