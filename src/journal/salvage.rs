//! Salvage of whole records after damage.

use super::error::Error;
use super::format::record::{Epoch, Kind};
use super::format::superblock::Superblock;
use super::walk::{Step, Walk};
use super::{Position, Record};
use crate::medium::Readable;
use core::ops::Range;

/// A result of a salvage: a record or a skipped range.
#[derive(Clone, Debug, PartialEq, Eq)]
// Exhaustive on purpose: a `_` that ignored a new kind would drop what was salvaged.
pub enum Salvaged {
    /// A valid record. After a skipped range it may be a record that was never acknowledged, and records before it may
    /// be missing.
    Record(Record),
    /// A range without a valid record.
    Skipped(Range<Position>),
}

/// A record or a skipped range, without the bytes of the record.
pub(super) enum Found {
    /// A record with `len` bytes of payload. It ends at the current position.
    Record { position: u64, len: usize },
    /// A range without a valid record.
    Skipped(Range<u64>),
}

/// An iterator over all valid records, from the oldest one on. [`Reader::salvage`](super::Reader::salvage) returns it.
///
/// At damage it goes on at the next valid record, since each record states its position. It searches the whole rest of
/// the journal for that, which takes time accordingly. The key of a record's epoch is in the marks of its own segment
/// and of the next one. If all of them are lost, the record cannot be verified.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::journal::{Journal, Reader, Salvaged};
///
/// # let (journal, _) = Journal::open_or_create(medium)?;
/// # journal.append(b"paid 3 to Ada")?;
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// for found in Reader::open(medium)?.salvage() {
///     match found? {
///         Salvaged::Record(record) => println!("{} bytes", record.payload.len()),
///         Salvaged::Skipped(range) => println!("no whole record from {} to {}", range.start, range.end),
///     }
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Salvage<'r, M: Readable> {
    walk: Walk<'r, M>,
    /// The epoch of the walk before the last skipped range.
    before: Epoch,
    is_over: bool,
}

impl<'r, M: Readable> Salvage<'r, M> {
    pub(super) const fn new(walk: Walk<'r, M>) -> Self {
        let before = walk.epoch;
        Self { walk, before, is_over: false }
    }

    /// Returns the position up to which the journal was searched.
    #[must_use]
    pub const fn reached(&self) -> Position {
        Position(self.walk.at)
    }

    /// Returns the epochs before and after the range that was skipped last.
    pub(super) const fn epochs_around(&self) -> [Epoch; 2] {
        [self.before, self.walk.epoch]
    }

    /// Returns true if a mark is at the current position.
    pub(super) fn is_at_mark(&self) -> Result<bool, M::Error> {
        let mark = self.walk.mark(self.walk.at)?;
        self.walk.medium.check()?;
        Ok(mark.is_some())
    }

    /// Reads the rest, and returns the end of the last valid record.
    pub(super) fn end_of_records(&mut self) -> Result<u64, M::Error> {
        while !self.is_over {
            self.step()?;
        }
        Ok(self.walk.last.0)
    }

    /// Continues after the last record, up to the limit of a superblock with a later head.
    pub(super) const fn go_on_with(&mut self, superblock: Superblock) {
        self.walk.limit = superblock.geometry.limit(superblock.head);
        self.walk.superblock = superblock;
        (self.walk.at, self.walk.epoch) = self.walk.last;
        self.is_over = false;
    }

    /// Takes a step to the next record or over a range, without a copy of the record.
    pub(super) fn step(&mut self) -> Result<Option<Found>, M::Error> {
        loop {
            match self.walk.step()? {
                Step::Passed => {}
                Step::Record { position, len } => {
                    return Ok(Some(Found::Record { position, len }));
                }
                Step::End(_) => {
                    let from = self.walk.at;
                    self.before = self.walk.epoch;
                    if self.walk.resume()? {
                        return Ok(Some(Found::Skipped(from..self.walk.at)));
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
        let found = match step {
            Ok(found) => found?,
            Err(error) => return Some(Err(Error::medium(error))),
        };
        Some(Ok(match found {
            Found::Record { position, len } => Salvaged::Record(Record {
                position: Position(position),
                end: self.reached(),
                payload: self.walk.payload(len).to_vec(),
            }),
            Found::Skipped(range) => Salvaged::Skipped(Position(range.start)..Position(range.end)),
        }))
    }
}

impl<M: Readable> Walk<'_, M> {
    /// Moves to the next position with a valid record or mark. Returns true if one was found.
    fn resume(&mut self) -> Result<bool, M::Error> {
        let geometry = self.superblock.geometry;
        let from = geometry.settled(self.at) + 8;
        let mut found = None;
        for at in (from..self.limit).step_by(8) {
            if self.names_itself(at)
                && let Some(epoch) = self.proven(at)?
            {
                found = Some((at, epoch));
                break;
            }
        }
        self.medium.check()?;
        let Some(next) = found else { return Ok(false) };
        (self.at, self.epoch) = next;
        Ok(true)
    }

    /// Returns the epoch at `at`, if a valid record or mark is there.
    fn proven(&mut self, at: u64) -> Result<Option<Epoch>, M::Error> {
        let Ok(header) = self.header(at) else { return Ok(None) };
        match header.kind {
            Kind::Mark => {
                let mark = self.mark(at)?;
                Ok(mark.filter(|mark| self.continues(at, mark)).map(|mark| mark.epoch))
            }
            // A void has no payload to salvage.
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

    /// Returns the epochs that a record at `at` can have. After the start of the last epoch this is the last one.
    /// Before it, it is the epoch of the record before the damage, or the epoch at the start of the next segment.
    fn epochs(&self, at: u64) -> Result<[Option<Epoch>; 2], M::Error> {
        let geometry = self.superblock.geometry;
        if at >= self.superblock.epoch_start {
            return Ok([Some(self.superblock.epoch), None]);
        }
        let next = geometry.segment_of(at) + geometry.segment;
        let mark = if next < self.limit { self.mark(next)? } else { None };
        let mark = mark.filter(|mark| self.continues(next, mark) && mark.epoch != self.epoch);
        Ok([Some(self.epoch), mark.map(|mark| mark.epoch)])
    }
}
