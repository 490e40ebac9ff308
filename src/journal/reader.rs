//! Reading: from the oldest record on, as far as everything proves itself.
//!
//! # Work
//! A record is looked at once when it is read. After the end, and after damage, each place is asked by a word if it begins
//! a record, and what says so is verified. A segment in which four times its bytes were verified in vain is given up:
//! only crafted bytes can be so many. So, whatever is in a journal, a verification or a salvage looks at each byte 40 times
//! at most, and a look for new records at the end at the segment after a window as often.

use super::error::{Error, ErrorKind, OpenError};
use super::format::record::{Epoch, Header, Kind};
use super::format::superblock::Superblock;
use super::records::{Records, walk_from};
use super::salvage::Salvage;
use super::walk::{Patience, Step, Walk};
use super::{Damage, Fault, Identity, Position, Progress, Recovered, superblocks};
use crate::medium::Readable;
use alloc::vec::Vec;
use core::sync::atomic::{self, Ordering};

/// Progress is told of every so many bytes.
const STEP: u64 = 16 << 20;

/// A journal that is only read, from its medium alone, also while another process appends to it. The process that appends
/// reads by [`Journal::records`](super::Journal::records).
#[derive(Clone, Debug)]
pub struct Reader<M> {
    medium: M,
    superblock: Superblock,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The place at which it begins.
    pub position: Position,
    /// Where it ends: [trimmed](super::Journal::trim) up to here, it is gone.
    pub end: Position,
    /// What was appended.
    pub payload: Vec<u8>,
}

impl<M: Readable> Reader<M> {
    /// Opens a journal for reading. Nothing is written.
    ///
    /// # Errors
    /// If there is no journal, or not the whole of it; of another version; with no superblock that is whole.
    pub fn open(medium: M) -> Result<Self, OpenError<M>> {
        match superblocks::load(&medium) {
            Ok(superblock) => Ok(Self { medium, superblock }),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// What it is known by.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.superblock.identity
    }

    /// The position to which the journal was trimmed when the reader was opened: at or before the oldest record.
    #[must_use]
    pub const fn head(&self) -> Position {
        Position(self.superblock.head)
    }

    /// Bytes of the log, with headers and marks.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.superblock.geometry.capacity
    }

    /// Returns the records from the oldest one on, and those that are appended meanwhile. Some of them may not be
    /// acknowledged yet: a power cut can take these back. [`Journal::records`](super::Journal::records) returns
    /// acknowledged ones alone.
    #[must_use]
    pub fn records(&self) -> Records<'_, M> {
        Records::new(Walk::new(&self.medium, self.superblock))
    }

    /// Returns the records from a position on. A record begins or ends at the position, or it is the [head](Self::head).
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`], if no record begins or ends there, or it was trimmed; [`ErrorKind::Damaged`], if the
    /// records before it in its segment are.
    ///
    /// # Cost
    /// The records before it in its segment are read, but for those before the head.
    pub fn records_from(&self, position: Position) -> Result<Records<'_, M>, Error<M::Error>> {
        Ok(Records::new(walk_from(&self.medium, position, || self.current())?))
    }

    /// Reads everything, and tells what is there. Nothing is written, and damage is no error here.
    ///
    /// # Errors
    /// If the medium fails; [`ErrorKind::NotABoundary`], if trims overtake it again and again.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Recovered, Error<M::Error>> {
        let mut superblock = self.current()?;
        for _ in 0..ATTEMPTS {
            let (recovered, _) =
                survey(&self.medium, superblock, progress).map_err(Error::medium)?;
            let Some(damage) = recovered.damage else { return Ok(recovered) };
            let now = self.current()?;
            if !superblock.is_outdated(&now, damage.at) {
                return Ok(recovered);
            }
            superblock = now;
        }
        Err(overtaken(&superblock, Position(superblock.head)))
    }

    /// The superblock as it is now, or that of the opening if it is lost since.
    fn current(&self) -> Result<Superblock, Error<M::Error>> {
        match superblocks::load(&self.medium) {
            Ok(now) if now.generation > self.superblock.generation => Ok(now),
            Err(error) if matches!(error.kind(), ErrorKind::Medium(_)) => Err(error),
            _ => Ok(self.superblock),
        }
    }

    /// Everything that proves itself, also after damage, as the superblock tells of it: if the newer one is lost,
    /// the records of the last epoch are [repair](super::Options::repair)'s to find, which looks for marks.
    #[must_use]
    pub fn salvage(&self) -> Salvage<'_, M> {
        let superblock = self.current().unwrap_or(self.superblock);
        Salvage::new(Walk::new(&self.medium, superblock))
    }
}

/// The number of attempts at a reading that openings and trims make obsolete.
pub(super) const ATTEMPTS: u32 = 8;

/// The error of a reading that the writer has overtaken at each attempt.
pub(super) const fn overtaken<E>(superblock: &Superblock, position: Position) -> Error<E> {
    let (head, end) = (Position(superblock.head), Position(superblock.acknowledged));
    Error::new(ErrorKind::NotABoundary { position, head, end })
}

impl Superblock {
    /// Returns true if a later superblock explains that nothing proves itself at a position.
    pub(super) fn is_outdated(&self, now: &Self, at: Position) -> bool {
        let (at, limit) = (self.geometry.settled(at.0), self.geometry.limit(self.head));
        let is_beyond = at >= limit && now.geometry.limit(now.head) > limit;
        now.epoch != self.epoch || now.head > at || is_beyond
    }
}

/// Where to look for what makes an end damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// In all segments.
    All,
    /// In the one that whoever goes on appending enters first.
    Near,
}

/// What is where the records end.
pub(super) enum Ending {
    /// A record came meanwhile.
    More,
    /// Nothing, or what was under way.
    End {
        /// Something of a record is there, or after it.
        is_torn: bool,
        /// Whole records after it, if they were looked for.
        behind: u64,
    },
    /// Something that was a record.
    Damage(Damage),
}

/// Walks over all records; tells of them, and in which epoch the last one is.
pub(super) fn survey<M: Readable>(
    medium: &M,
    superblock: Superblock,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Recovered, Epoch), M::Error> {
    let mut walk = Walk::new(medium, superblock);
    let (mut records, mut bytes, mut end, mut epoch) = (0, 0, walk.at, walk.epoch);
    let mut told = walk.at;
    let (torn, behind, damage) = loop {
        match walk.step()? {
            Step::Record { len, .. } => {
                records += 1;
                bytes += len as u64;
                (end, epoch) = (walk.at, walk.epoch);
            }
            Step::Passed => {}
            Step::End(fault) => match walk.ending(fault, Search::All)? {
                Ending::More => {}
                Ending::End { is_torn, behind } => break (is_torn, behind, None),
                Ending::Damage(found) => break (false, 0, Some(found)),
            },
        }
        if walk.at - told >= STEP {
            told = walk.at;
            progress(Progress { done: told - superblock.head, most: walk.limit - superblock.head });
        }
    };
    let (head, end) = (Position(superblock.head), Position(end));
    Ok((Recovered { head, end, records, bytes, torn, behind, damage }, epoch))
}

/// Whole records of the last epoch after one that is missing, at most a window after it.
#[derive(Default)]
struct Behind {
    records: u64,
    /// The first one that was written when what is missing had been durable.
    vouching: Option<u64>,
}

impl<M: Readable> Walk<'_, M> {
    /// Whether the records end here, or something is damaged.
    ///
    /// Before the beginning of this epoch, and before what its superblock says, everything has been whole. A record
    /// after this place may vouch for it. At most a window is under way, so what proves itself farther on was
    /// written after what should be here was durable. Nor was there ever an epoch later than the superblock
    /// knows, or a lap that its head has no room for.
    pub(super) fn ending(&mut self, fault: Fault, search: Search) -> Result<Ending, M::Error> {
        let at = self.at;
        let known = self.superblock.epoch_start.max(self.superblock.acknowledged);
        let mut behind = Behind::default();
        let evidence = if at < known {
            Some(known)
        } else {
            self.patience = Patience::default();
            if search == Search::All {
                behind = self.behind(at)?;
            }
            match behind.vouching {
                Some(vouching) => Some(vouching),
                None => self.evidence(at, search)?,
            }
        };
        if evidence.is_none() && behind.records == 0 {
            return Ok(Ending::End { is_torn: fault != Fault::Nothing, behind: 0 });
        }
        // Who appends meanwhile was there before the evidence was.
        atomic::fence(Ordering::Acquire);
        let before = (self.at, self.epoch, self.last);
        let Step::End(fault) = self.step()? else {
            (self.at, self.epoch, self.last) = before;
            return Ok(Ending::More);
        };
        let Some(evidence) = evidence else {
            return Ok(Ending::End { is_torn: true, behind: behind.records });
        };
        let offset = self.superblock.geometry.place(self.superblock.geometry.settled(at));
        let (at, evidence) = (Position(at), Position(evidence));
        Ok(Ending::Damage(Damage { at, offset, evidence, fault }))
    }

    /// Something that was written after what should be at `end` was durable.
    fn evidence(&mut self, end: u64, search: Search) -> Result<Option<u64>, M::Error> {
        let Superblock { geometry, head, epoch, .. } = self.superblock;
        let later = self.mark(geometry.settled(end))?;
        if later.is_some_and(|mark| mark.epoch.number > epoch.number) {
            return Ok(Some(end));
        }
        self.patience = Patience::default();
        // A record that begins at `from` or behind was reserved when a record at `end` was durable: everything under
        // way ends at most a window behind the durable end.
        let from = end + geometry.window;
        let segment_end = geometry.segment_of(from) + geometry.segment;
        for at in (from..segment_end.min(self.limit)).step_by(8) {
            if self.whole(at)?.is_some() {
                return Ok(Some(at));
            }
        }
        let segments = match search {
            Search::All => geometry.segment_of(head)..self.limit,
            Search::Near => segment_end..self.limit.min(segment_end + geometry.segment),
        };
        for segment in segments.step_by(geometry.segment as usize) {
            let Some((position, mark)) = self.mark_in_place_of(segment)? else { continue };
            let number = mark.epoch.number;
            let is_ahead = position >= from && number >= epoch.number;
            if geometry.place(position) == geometry.place(segment)
                && (is_ahead || number > epoch.number)
            {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// The whole records of the last epoch in the window after `end`, where one is missing.
    fn behind(&mut self, end: u64) -> Result<Behind, M::Error> {
        let geometry = self.superblock.geometry;
        let mut behind = Behind::default();
        let mut at = geometry.settled(end) + 8;
        while at < self.limit.min(end + geometry.window) {
            let Some(header) = self.whole(at)? else {
                at += 8;
                continue;
            };
            if header.kind == Kind::Data {
                behind.records += 1;
                if behind.vouching.is_none() && header.vouch.durable(at) > end {
                    behind.vouching = Some(at);
                }
            }
            at += geometry.size(header.len);
        }
        Ok(behind)
    }

    /// The header of a record or a void of the last epoch that proves itself at `at`.
    fn whole(&mut self, at: u64) -> Result<Option<Header>, M::Error> {
        let Ok(header) = self.header(at) else { return Ok(None) };
        let key = self.superblock.epoch.key;
        let is_whole = match header.kind {
            Kind::Data => self.proves(at, header, key)?,
            Kind::Void => header.proves(key, at, &[]),
            Kind::Mark => false,
        };
        Ok(is_whole.then_some(header))
    }
}
