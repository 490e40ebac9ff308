//! Iteration over records: the acknowledged ones of a journal in this process, or all in a medium.

use super::boundary::walk_from;
use super::error::{Error, ErrorKind};
use super::evidence::Ending;
use super::geometry::Position;
use super::inflight::InFlight;
use super::journal::Journal;
use super::recovered::Fault;
use super::walk::{Step, Walk};
use alloc::vec::Vec;
use cachemaint::medium::{Medium, Readable};
use core::sync::atomic::{self, Ordering};

/// A record of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The position at which the record begins.
    pub position: Position,
    /// The position at which the record ends. A [trim](super::Journal::trim) to this position discards the record.
    pub end: Position,
    /// The bytes that were appended.
    pub payload: Vec<u8>,
}

/// The records of a journal, in order. [`Journal::records`] and [`Reader::records`](super::Reader::records) return it.
///
/// At the end, [`read_next`](Self::read_next) and [`next`](Iterator::next) return `None`. Later calls return the
/// records that were appended meanwhile. For a [`Journal`], these are only acknowledged records. An iteration ends at
/// an error.
#[derive(Debug)]
pub struct Records<'r, M: Readable> {
    walk: Walk<'r, M>,
    /// The records in progress, if the journal is open in this process.
    in_flight: Option<&'r InFlight>,
    /// True if evidence of damage was searched at an end.
    has_searched: bool,
    is_over: bool,
}

impl<M: Medium> Journal<M> {
    /// Returns the acknowledged records, from the oldest one on.
    ///
    /// If you keep the [`Records`], it also returns each record that is acknowledged later, while other threads append
    /// and trim. The example of [`wait_for_records`](Self::wait_for_records) is such a consumer.
    ///
    /// # Errors
    /// If the medium has failed.
    pub fn records(&self) -> Result<Records<'_, M>, Error<M::Error>> {
        let walk = Walk::new(&self.medium, self.state()?);
        Ok(Records::acknowledged(walk, &self.in_flight))
    }

    /// Returns the acknowledged records from a position on, as [`records`](Self::records) does. The position must be
    /// one where a record begins or ends, the [head](Self::head), or the [end](Self::end).
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`] if no acknowledged record begins or ends at the position, or it was trimmed;
    /// [`ErrorKind::Damaged`] if a record that the call reads is damaged.
    ///
    /// # Cost
    /// Reads the records before the position in the segment of the previous record, except those before the head.
    /// Continuing with a kept [`Records`] avoids this.
    pub fn records_from(&self, position: Position) -> Result<Records<'_, M>, Error<M::Error>> {
        let (head, end) = (self.head(), self.end());
        if position > end {
            return Err(Error::new(ErrorKind::NotABoundary { position, head, end }));
        }
        let walk = walk_from(&self.medium, position, || self.state())?;
        Ok(Records::acknowledged(walk, &self.in_flight))
    }
}

impl<'r, M: Readable> Records<'r, M> {
    /// Returns all records in the medium.
    pub(super) const fn new(walk: Walk<'r, M>) -> Self {
        Self { walk, in_flight: None, has_searched: false, is_over: false }
    }

    /// Returns only the acknowledged records.
    fn acknowledged(mut walk: Walk<'r, M>, in_flight: &'r InFlight) -> Self {
        walk.follow(in_flight);
        Self { in_flight: Some(in_flight), ..Self::new(walk) }
    }

    /// Replaces the content of a buffer with the payload of the next record, and returns its position.
    ///
    /// Returns `None` at the end. For a [`Journal`], this means that all records acknowledged at the time of the call
    /// have been returned. Later calls return the records that were appended meanwhile.
    ///
    /// # Errors
    /// - [`ErrorKind::NotABoundary`] if the next records were trimmed and their space was reused: continue with
    ///   [`Journal::records`], from the oldest record.
    /// - [`ErrorKind::Damaged`] if the next record is damaged.
    /// - [`ErrorKind::Replaced`] from a [`Reader`](super::Reader): open a new one.
    /// - If the medium fails.
    ///
    /// # Cost
    /// The record is read once and copied. `None` costs a few loads, and for a [`Reader`](super::Reader) also a read of
    /// the root. The first `None` of a [`Reader`](super::Reader) also reads a window, and the mark of each segment, for
    /// evidence of damage. Later ones rely on the writer's confirmations.
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

    /// Returns the position before which everything was read. Use it to wait for more, to trim the returned records, or
    /// to resume. It is the end of the last record, or a later position after `None`, because space without a record
    /// was passed; do not store that one for use after a later opening.
    #[must_use]
    pub const fn reached(&self) -> Position {
        Position(self.walk.at)
    }

    fn step(&mut self) -> Result<Option<(u64, usize)>, Error<M::Error>> {
        // Each call may verify in vain a record that is being written.
        self.walk.patience = Walk::<M>::FRESH;
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

    /// Returns true if more records may follow the end that was found in a medium. Damage is an error.
    fn goes_on(&mut self, fault: Fault) -> Result<bool, Error<M::Error>> {
        if self.walk.renew()? {
            return Ok(true);
        }
        let (at, head) = (self.walk.at, self.walk.state.head);
        if head > at {
            let (position, head) = (Position(at), Position(head));
            return Err(Error::new(ErrorKind::NotABoundary { position, head, end: head }));
        }
        // A later end is the work of a writer beside, who confirms each append.
        let is_unknown = !self.has_searched || fault == Fault::Unreadable;
        let is_missing =
            at < self.walk.state.acknowledged || self.walk.confirmed().is_some_and(|end| end > at);
        if !is_unknown && !is_missing {
            return Ok(false);
        }
        match self.walk.ending(fault).map_err(Error::medium)? {
            Ending::More => Ok(true),
            Ending::End { .. } => {
                self.has_searched = true;
                Ok(false)
            }
            // A trim since the last check explains it. This loop ends, since an end before the head is an error.
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

impl<M: Readable> Walk<'_, M> {
    /// Moves the limit to the end of the acknowledged records.
    fn follow(&mut self, in_flight: &InFlight) {
        self.limit = in_flight.advance();
    }

    /// Returns true if more records were acknowledged since the limit was moved. It is an error if the walk ended before
    /// the limit, since an acknowledged record is then invalid.
    fn goes_on(&mut self, in_flight: &InFlight, fault: Fault) -> Result<bool, Error<M::Error>> {
        let end = self.limit;
        if self.at >= end {
            self.follow(in_flight);
            return Ok(self.limit > end);
        }
        // The space was reused after the head had moved.
        atomic::fence(Ordering::Acquire);
        let head = in_flight.head();
        if head > self.at {
            let [position, head, end] = [self.at, head, end].map(Position);
            return Err(Error::new(ErrorKind::NotABoundary { position, head, end }));
        }
        Err(Error::new(ErrorKind::Damaged(self.damage(end, fault))))
    }

    /// Takes over a head that a trim has moved. Returns true if records can now be in places that had none before.
    fn renew(&mut self) -> Result<bool, Error<M::Error>> {
        let now = self.state.now(self.medium)?;
        // The records before its head are visible now.
        atomic::fence(Ordering::Acquire);
        let has_moved = now.head > self.state.head;
        self.limit = now.geometry.limit(now.head);
        self.state = now;
        Ok(has_moved)
    }
}
