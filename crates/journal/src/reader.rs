//! Reading: from the oldest record on, as long as records are valid.
//!
//! A reader has one buffer for the payload of a record, which is read before its tag is verified. A record ends in its
//! segment, so no header makes the buffer larger than a segment.

use super::error::{Error, ErrorKind, OpenError};
use super::geometry::{Geometry, WORD};
use super::record::{Header, Kind};
use super::records::{Records, walk_from};
use super::salvage::Salvage;
use super::state::State;
use super::walk::{Patience, Step, Walk};
use super::{Damage, Fault, Identity, Position, Progress, Recovered};
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use cachemaint_format::reread::Rereadings;
use core::sync::atomic::{self, Ordering};

/// The number of bytes between two reports of the progress.
const STEP: u64 = 16 << 20;

/// A journal that is open for reading only, also while another process appends to it. The process that appends reads
/// with [`Journal::records`](super::Journal::records).
///
/// A reader is bound to the epoch that it finds. When the journal is opened for writing again, or another one is created
/// in its place, calls fail with [`ErrorKind::Replaced`], an iteration at its end at the latest: open a new reader, and go on
/// with [`records_from`](Self::records_from) at the end of the last record.
///
/// A backup appends the records of a reader to a new journal: a copy of the bytes beside a writer can look damaged.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint_journal::{Journal, Reader};
///
/// # let (journal, _) = Journal::open_or_create(medium)?;
/// # journal.append(b"paid 3 to Ada")?;
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// let reader = Reader::open(medium)?; // `medium` may be one that another process writes
/// for record in reader.records()? {
///     println!("{}", String::from_utf8_lossy(&record?.payload));
/// }
/// assert_eq!(reader.verify(&mut |_| {})?.records, 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct Reader<M> {
    medium: M,
    state: State,
}

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

impl<M> Reader<M> {
    pub(super) const fn geometry(&self) -> Geometry {
        self.state.geometry
    }
}

impl<M: Readable> Reader<M> {
    /// Opens a journal for reading. The medium is not written to.
    ///
    /// # Errors
    /// If the medium has no journal, or only a part of it; if its version is unknown; if no root is whole; if the
    /// medium fails.
    pub fn open(medium: M) -> Result<Self, OpenError<M>> {
        match State::load(&medium, Rereadings::BESIDE_WRITERS) {
            Ok((state, _)) => Ok(Self { medium, state }),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Returns the identity of the journal.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.state.identity
    }

    /// Returns the position to which the journal was trimmed when the reader was opened.
    #[must_use]
    pub const fn head(&self) -> Position {
        Position(self.state.head)
    }

    /// Returns the size of the log in bytes, including headers and marks.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.state.geometry.capacity
    }

    /// Returns the records from the oldest one on, and those that are appended meanwhile. The last ones may not be
    /// acknowledged yet: a power cut can take them back. [`Journal::records`](super::Journal::records) returns
    /// acknowledged records only.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`]; if the medium fails.
    pub fn records(&self) -> Result<Records<'_, M>, Error<M::Error>> {
        Ok(Records::new(Walk::new(&self.medium, self.now()?)))
    }

    /// Returns the records from a position on, as [`records`](Self::records) does. A record begins or ends at the
    /// position, or it is the [head](Self::head).
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`], if no record begins or ends at the position, or it was trimmed;
    /// [`ErrorKind::Damaged`], if a record before it in the segment of the previous record is damaged;
    /// [`ErrorKind::Replaced`]; if the medium fails.
    ///
    /// # Cost
    /// The records before it in the segment of the previous record are read, except those before the head.
    pub fn records_from(&self, position: Position) -> Result<Records<'_, M>, Error<M::Error>> {
        Ok(Records::new(walk_from(&self.medium, position, || self.now())?))
    }

    /// Reads everything, and returns a summary of the records. The medium is not written to. Damage is part of the
    /// summary and not an error.
    ///
    /// # Errors
    /// If the medium fails; [`ErrorKind::NotABoundary`], if trims overtake the reading at each attempt: verify again;
    /// [`ErrorKind::Replaced`].
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Recovered, Error<M::Error>> {
        let mut state = self.now()?;
        for _ in 0..ATTEMPTS {
            let mut recovered = survey(&self.medium, state, progress).map_err(Error::medium)?;
            let now = self.now()?;
            if recovered.damage.is_none_or(|damage| !state.is_outdated(&now, &damage)) {
                let (_, loaded) = State::load(&self.medium, Rereadings::BESIDE_WRITERS)?;
                recovered.root_lost = loaded.is_one_lost();
                return Ok(recovered);
            }
            state = now;
        }
        Err(overtaken(&state, Position(state.head)))
    }

    /// Returns all valid records, also those after damage. If both copies of the newest root are lost, records that were
    /// appended in the space that it had freed are missing here.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`]; if the medium fails.
    pub fn salvage(&self) -> Result<Salvage<'_, M>, Error<M::Error>> {
        Ok(Salvage::new(Walk::new(&self.medium, self.now()?)))
    }

    fn now(&self) -> Result<State, Error<M::Error>> {
        self.state.now(&self.medium)
    }
}

/// The number of attempts at a reading that trims make obsolete.
pub(super) const ATTEMPTS: u32 = 8;

/// Returns the error of a reading that the writer has overtaken at each attempt.
pub(super) const fn overtaken<E>(state: &State, position: Position) -> Error<E> {
    let (head, end) = (Position(state.head), Position(state.acknowledged));
    Error::new(ErrorKind::NotABoundary { position, head, end })
}

impl State {
    /// Returns true if a later state explains damage that was found with this one.
    pub(super) fn is_outdated(&self, now: &Self, damage: &Damage) -> bool {
        let [at, evidence] = [damage.at, damage.evidence].map(|at| self.geometry.settled(at.0));
        let limit = self.geometry.limit(self.head);
        // The evidence is a record of the later head, and the record at `at` may be under way beside it.
        let is_beyond = evidence >= limit && now.geometry.limit(now.head) > limit;
        now.head > at || is_beyond
    }
}

/// The state of the place at which the records end.
pub(super) enum Ending {
    /// A record that was appended meanwhile.
    More,
    /// No record, or one that was under way.
    End {
        /// True if a part of a record is there, or a record is after it.
        is_torn: bool,
        /// The number of whole records after it.
        after_gap: u64,
    },
    /// A damaged record.
    Damage(Damage),
}

/// Walks over all records, and returns the summary of them.
pub(super) fn survey<M: Readable>(
    medium: &M,
    state: State,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, M::Error> {
    let mut walk = Walk::new(medium, state);
    let mut found = Recovered { head: Position(state.head), ..Recovered::default() };
    let mut told = walk.at;
    loop {
        match walk.step()? {
            Step::Record { len, .. } => {
                found.records += 1;
                found.bytes += len as u64;
            }
            Step::Passed => {}
            Step::End(fault) => match walk.ending(fault)? {
                Ending::More => {}
                Ending::End { is_torn, after_gap } => {
                    (found.torn, found.after_gap) = (is_torn, after_gap);
                    break;
                }
                Ending::Damage(damage) => {
                    found.damage = Some(damage);
                    break;
                }
            },
        }
        if walk.at - told >= STEP {
            told = walk.at;
            progress(Progress::new(told - state.head, walk.limit - state.head));
        }
    }
    found.end = Position(walk.last);
    Ok(found)
}

/// Whole records of the last epoch after one that is missing.
#[derive(Default)]
struct Behind {
    records: u64,
    /// The first record that was written when the missing one had been durable.
    vouching: Option<u64>,
}

impl<M: Readable> Walk<'_, M> {
    /// Returns the state of the end: the end of the records, damage, or one more record.
    pub(super) fn ending(&mut self, fault: Fault) -> Result<Ending, M::Error> {
        let State { before, acknowledged, epoch, .. } = self.state;
        let mut behind = Behind::default();
        let evidence = if self.epoch.number < epoch.number || self.at < acknowledged {
            Some(before.max(acknowledged))
        } else {
            behind = self.behind()?;
            match behind.vouching {
                Some(vouching) => Some(vouching),
                None => self.mark_of_later()?,
            }
        };
        self.medium.check()?;
        if evidence.is_none() && behind.records == 0 {
            return Ok(Ending::End { is_torn: fault != Fault::Nothing, after_gap: 0 });
        }
        // A process that appends meanwhile wrote this record before the evidence.
        atomic::fence(Ordering::Acquire);
        let before = (self.at, self.epoch, self.last);
        let Step::End(fault) = self.step()? else {
            (self.at, self.epoch, self.last) = before;
            return Ok(Ending::More);
        };
        Ok(match evidence {
            Some(evidence) => Ending::Damage(self.damage(evidence, fault)),
            None => Ending::End { is_torn: true, after_gap: behind.records },
        })
    }

    /// Returns the whole records of the last epoch after the missing one, up to the end of the segment that is a window
    /// after it.
    fn behind(&mut self) -> Result<Behind, M::Error> {
        let geometry = self.state.geometry;
        let end = self.at;
        let limit = geometry.segment_of(end + geometry.window) + geometry.segment;
        self.patience = Patience::default();
        let mut behind = Behind::default();
        let mut at = geometry.settled(end) + WORD;
        while at < self.limit.min(limit) {
            let Some(header) = self.whole(at)? else {
                at += WORD;
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

    /// Returns the header of the valid record or void of the last epoch at `at`.
    fn whole(&mut self, at: u64) -> Result<Option<Header>, M::Error> {
        let Ok(header) = self.header(at) else { return Ok(None) };
        let key = self.state.epoch.key;
        let is_whole = header.kind != Kind::Mark && self.proves(at, header, key)?;
        Ok(is_whole.then_some(header))
    }

    /// Returns the position of a mark that was written when the missing record had been durable: one a window after it,
    /// one of a later epoch than that of the root, or one of a lap for which the head of the root leaves no space.
    fn mark_of_later(&self) -> Result<Option<u64>, M::Error> {
        let State { geometry, head, epoch, .. } = self.state;
        // At most a window is under way, and a mark behind the limit was written with a later head.
        let ahead = self.limit.min(self.at + geometry.window);
        for segment in (geometry.segment_of(head)..self.limit).step_by(geometry.segment as usize) {
            let Some((position, mark)) = self.mark_of_any_lap(segment)? else { continue };
            let is_ahead = position >= ahead && mark.epoch == epoch;
            if is_ahead || mark.epoch.number > epoch.number {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }
}
