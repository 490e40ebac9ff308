//! Reading: from the oldest record on, as far as everything proves itself.
//!
//! # Work
//! A record is looked at once when it is read. Behind the end, and behind damage, each place is asked by a word if it begins
//! a record, and what says so is verified. A segment in which four times its bytes were verified in vain is given up:
//! only crafted bytes can be so many. So, whatever is in a journal, a verification or a salvage looks at each byte 40 times
//! at most, and a look for new records at the end at the segment behind a window as often.

use super::error::{Error, ErrorKind, OpenError};
use super::format::record::{Epoch, Header, Kind};
use super::format::superblock::Superblock;
use super::salvage::Salvage;
use super::walk::{Patience, Step, Walk};
use super::{Damage, Fault, Identity, Position, Progress, Recovered, superblocks};
use crate::medium::Readable;
use alloc::vec::Vec;
use core::sync::atomic::{self, Ordering};

/// Progress is told of every so many bytes.
const STEP: u64 = 16 << 20;

/// A journal that is only read, by this process or another one, also while it is appended to.
#[derive(Clone, Debug)]
pub struct Reader<M> {
    medium: M,
    superblock: Superblock,
    /// What is behind it is not read.
    bound: u64,
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
            Ok(superblock) => Ok(Self::new(medium, superblock, u64::MAX)),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    pub(super) const fn new(medium: M, superblock: Superblock, bound: u64) -> Self {
        Self { medium, superblock, bound }
    }

    /// What it is known by.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.superblock.identity
    }

    /// The oldest record, when it was opened.
    #[must_use]
    pub const fn head(&self) -> Position {
        Position(self.superblock.head)
    }

    /// Bytes of the log, with headers and marks.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.superblock.geometry.capacity
    }

    /// The records from the oldest one on. Of an [opened](Self::open) reader what is appended meanwhile may be
    /// among them, and what is not acknowledged yet: a power cut can take that back.
    #[must_use]
    pub fn records(&self) -> Records<'_, M> {
        Records::new(self.walk())
    }

    fn walk(&self) -> Walk<'_, M> {
        Walk::new(&self.medium, self.superblock).up_to(self.bound)
    }

    /// The records from a position on, at which one begins or ends.
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`], if there is none, or it was trimmed; [`ErrorKind::Damaged`], if what is before it in its
    /// segment is.
    ///
    /// # Cost
    /// What is before it in its segment is read.
    pub fn records_from(&self, position: Position) -> Result<Records<'_, M>, Error<M::Error>> {
        let mut superblock = self.current()?;
        for _ in 0..ATTEMPTS {
            let walk = Walk::at_boundary(&self.medium, superblock, position.0);
            let Err(ErrorKind::Damaged(damage)) = walk.as_ref().map_err(Error::kind) else {
                return Ok(Records::new(walk?.up_to(self.bound)));
            };
            let now = self.current()?;
            if !superblock.is_outdated(&now, damage.at) {
                return Err(Error::new(ErrorKind::Damaged(*damage)));
            }
            superblock = now;
        }
        Err(overtaken(&superblock, position))
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

    /// Everything that proves itself, also behind damage, as the superblock tells of it: if the newer one is lost,
    /// the records of the last epoch are [repair](super::Options::repair)'s to find, which looks for marks.
    #[must_use]
    pub fn salvage(&self) -> Salvage<'_, M> {
        let superblock = self.current().unwrap_or(self.superblock);
        Salvage::new(Walk::new(&self.medium, superblock))
    }
}

/// The number of attempts at a reading that openings and trims make obsolete.
const ATTEMPTS: u32 = 8;

/// The error of a reading that the writer has overtaken at each attempt.
const fn overtaken<E>(superblock: &Superblock, position: Position) -> Error<E> {
    let (head, end) = (Position(superblock.head), Position(superblock.acknowledged));
    Error::new(ErrorKind::NotABoundary { position, head, end })
}

impl Superblock {
    /// Returns true if a later superblock explains that nothing proves itself at a position.
    fn is_outdated(&self, now: &Self, at: Position) -> bool {
        let (at, limit) = (self.geometry.settled(at.0), self.geometry.limit(self.head));
        let is_beyond = at >= limit && now.geometry.limit(now.head) > limit;
        now.epoch != self.epoch || now.head > at || is_beyond
    }
}

/// The records of a journal; made by [`Reader::records`].
///
/// It ends where the records end. Damage is an error, after which nothing comes.
#[derive(Debug)]
pub struct Records<'r, M: Readable> {
    walk: Walk<'r, M>,
    /// The end behind which all was searched for what would make it damage.
    searched: Option<u64>,
    is_over: bool,
}

impl<'r, M: Readable> Records<'r, M> {
    const fn new(walk: Walk<'r, M>) -> Self {
        Self { walk, searched: None, is_over: false }
    }

    /// Puts the payload of the next record into a buffer, in place of what was there, and returns its position;
    /// `None` at the end. Called again then, it goes on with what was appended meanwhile; that costs less than the
    /// first time, when a word of each segment is looked at.
    ///
    /// # Errors
    /// If the records before are damaged; if they were trimmed meanwhile; if the medium fails.
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

    /// Where the next record will begin, or later.
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
                    if self.walk.renew()? {
                        continue;
                    }
                    let search = match self.searched {
                        Some(at) if at == self.walk.at => Search::Near,
                        _ => Search::All,
                    };
                    match self.walk.ending(fault, search).map_err(Error::medium)? {
                        Ending::More => {}
                        Ending::End { .. } => {
                            self.searched = Some(self.walk.at);
                            return Ok(None);
                        }
                        // An opening or a trim since the last look explains it. This ends: a head behind this place
                        // is an error.
                        Ending::Damage(_) if self.walk.renew()? => {}
                        Ending::Damage(damage) => {
                            return Err(Error::new(ErrorKind::Damaged(damage)));
                        }
                    }
                }
            }
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
                end: Position(self.walk.at),
                payload: self.walk.payload(len).to_vec(),
            }),
            Err(error) => Err(error),
        };
        self.is_over = record.is_err();
        Some(record)
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
        /// Something of a record is there, or behind it.
        is_torn: bool,
        /// Whole records behind it, if they were looked for.
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

/// Whole records of the last epoch behind one that is missing, at most a window behind it.
#[derive(Default)]
struct Behind {
    records: u64,
    /// The first one that was written when what is missing had been durable.
    vouching: Option<u64>,
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

    /// Reads the superblock again. Returns true if records can be where there were none.
    fn renew(&mut self) -> Result<bool, Error<M::Error>> {
        let superblock = superblocks::load(self.medium)?;
        if superblock.generation <= self.superblock.generation {
            return Ok(false);
        }
        let Superblock { geometry, head, head_epoch, epoch_start, .. } = superblock;
        let is_opened = superblock.epoch != self.superblock.epoch;
        if is_opened {
            // An opening reuses the positions behind the last record, where this walk may have passed marks and voids.
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

    /// Whether the records end here, or something is damaged.
    ///
    /// Before the beginning of this epoch, and before what its superblock says, everything has been whole. A record
    /// behind this place may vouch for it. At most a window is under way, so what proves itself farther on was
    /// written after what should be here was durable. Nor was there ever an epoch later than the superblock
    /// knows, or a lap that its head has no room for.
    pub(super) fn ending(&mut self, fault: Fault, search: Search) -> Result<Ending, M::Error> {
        let at = self.at;
        if at >= self.bound {
            return Ok(Ending::End { is_torn: false, behind: 0 });
        }
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

    /// The whole records of the last epoch in the window behind `end`, where one is missing.
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
