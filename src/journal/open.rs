//! Creating and opening: recovery, and the beginning of an epoch.

use super::error::{Error, ErrorKind, OpenError, least};
use super::format::geometry::{self, Geometry, LOG};
use super::format::record::{Epoch, Mark, void};
use super::format::superblock::{Found, Superblock};
use super::inflight::InFlight;
use super::reader::survey;
use super::{Identity, Journal, Progress, Recovered, superblocks};
use crate::format::tag;
use crate::medium::Medium;
use core::fmt;
use core::ops::Range;

/// How a journal is created or opened.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cachemaint::{Cache, journal::Options, medium::{Memory, OpenError}, survival::Backing};
/// use std::sync::atomic::AtomicU64;
///
/// let words: Vec<AtomicU64> = (0..32768).map(|_| AtomicU64::new(0)).collect();
/// let memory = Memory::new(&words, Cache::host()?, Backing::Ram);
/// // The error that goes on has no medium in it, since this one is borrowed.
/// let journal = Options::new().segment(4096).create_new(memory).map_err(OpenError::into_error)?;
/// journal.append(b"the first record")?;
/// # Ok(())
/// # }
/// ```
pub struct Options<'p> {
    segment: Option<u64>,
    window: Option<u64>,
    alignment: u64,
    entropy: [u64; 2],
    progress: Option<&'p mut dyn FnMut(Progress)>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("segment", &self.segment)
            .field("window", &self.window)
            .field("alignment", &self.alignment)
            .finish_non_exhaustive()
    }
}

/// A journal that can be appended to, without its medium.
pub(super) struct Opened {
    pub(super) superblock: Superblock,
    pub(super) in_flight: InFlight,
}

/// Bytes of a segment where there is room for many.
const SEGMENT: u64 = 64 << 10;
/// So many segments there are at least before they are made smaller.
const MANY: u64 = 8;
/// Bytes of a window that is not said.
const WINDOW: u64 = 256 << 10;

#[cfg(feature = "std")]
impl Default for Options<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'p> Options<'p> {
    /// The defaults, and randomness of the system's.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn new() -> Self {
        use core::hash::{BuildHasher, Hasher};
        // Its keys are the system's randomness, which nothing else in the standard library gives out.
        let random = || std::hash::RandomState::new().build_hasher().finish();
        Self::with_entropy([random(), random()])
    }

    /// The defaults. The words should differ each time and from machine to machine: identity and seeds are
    /// made of them, by which the records of one journal, and of one epoch, are told from those of another.
    #[must_use]
    pub const fn with_entropy(entropy: [u64; 2]) -> Self {
        Self { segment: None, window: None, alignment: 8, entropy, progress: None }
    }

    /// Bytes of a segment of a new journal, a power of two: at first 64 KiB, less if there were too few
    /// of them. No record is larger. At the end of each some space is lost.
    #[must_use]
    pub fn segment(self, bytes: u64) -> Self {
        Self { segment: Some(bytes), ..self }
    }

    /// So many bytes records may be ahead of what is acknowledged, in a new journal: at first 256 KiB, or a quarter of
    /// a small one. It takes half as much memory, and has 256 MiB at most.
    #[must_use]
    pub fn window(self, bytes: u64) -> Self {
        Self { window: Some(bytes), ..self }
    }

    /// What records are aligned to in a new journal, in bytes: at first 8, so that they are packed. With a
    /// line's size no two producers share a line.
    #[must_use]
    pub fn alignment(self, bytes: u64) -> Self {
        Self { alignment: bytes, ..self }
    }

    /// Is called now and then while a journal is read at its opening.
    #[must_use]
    pub fn progress(self, progress: &'p mut dyn FnMut(Progress)) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// Creates a journal in a medium, as large as there is room, and opens it. It is durable when this returns. A crash
    /// leaves all of it or none.
    ///
    /// Other bytes at the beginning of the medium are overwritten. A journal there is not, be it whole or damaged, as long
    /// as one of its superblocks has its first eight bytes, at offset 0 or 4096. Where neither has, this call gives up all
    /// records that follow.
    ///
    /// # Errors
    /// If there is [a journal already](ErrorKind::Exists); if these sizes [cannot be](ErrorKind::Sizes), or the medium is
    /// [too small](ErrorKind::TooSmall) for them; if the medium fails.
    ///
    /// # Cost
    /// Three fences.
    pub fn create_new<M: Medium>(self, medium: M) -> Result<Journal<M>, OpenError<M>> {
        match self.create_where_none_is(&medium) {
            Ok(opened) => Ok(Journal::new(medium, opened)),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Opens the journal in a medium for appending as [`open`](Self::open) does, or creates one where there is none. The
    /// sizes among these options are those of a new one.
    ///
    /// There is none where the first eight bytes of both superblocks, at offsets 0 and 4096, are zero. So it is after a
    /// crash in a creation, and this succeeds then. If records follow, the superblocks are [lost](ErrorKind::Superblocks).
    ///
    /// # Errors
    /// As [`open`](Self::open) where there is a journal, or [something else](ErrorKind::NotAJournal); otherwise as
    /// [`create_new`](Self::create_new).
    ///
    /// # Cost
    /// As [`open`](Self::open), or as [`create_new`](Self::create_new) after all of the medium was looked through for records.
    pub fn open_or_create<M: Medium>(
        mut self,
        medium: M,
    ) -> Result<(Journal<M>, Recovered), OpenError<M>> {
        let opened = self.open_or_create_in(&medium);
        Journal::with(medium, opened)
    }

    fn open_or_create_in<M: Medium>(
        &mut self,
        medium: &M,
    ) -> Result<(Opened, Recovered), Error<M::Error>> {
        // In a medium that is too small for the superblocks there is none.
        let found = if medium.len() < superblocks::END { None } else { superblocks::find(medium)? };
        if let Some(superblock) = found {
            return self.recover(medium, superblock);
        }
        let geometry = self.geometry(medium.len())?;
        Ok((self.create(medium, geometry)?, Recovered::default()))
    }

    /// Creates a journal in a medium without one.
    fn create_where_none_is<M: Medium>(&self, medium: &M) -> Result<Opened, Error<M::Error>> {
        let geometry = self.geometry(medium.len())?;
        let both = superblocks::found(medium)?;
        if both.iter().any(|found| !matches!(found, Found::Other(_))) {
            return Err(Error::new(ErrorKind::Exists));
        }
        self.create(medium, geometry)
    }

    /// Creates a journal of these sizes where none is.
    fn create<M: Medium>(&self, medium: &M, geometry: Geometry) -> Result<Opened, Error<M::Error>> {
        let mut identity = [0; 16];
        identity[..8].copy_from_slice(&self.entropy[0].to_le_bytes());
        identity[8..].copy_from_slice(&self.entropy[1].to_le_bytes());
        let epoch = Epoch { number: 0, key: 0 };
        let superblock = Superblock {
            identity: Identity(identity),
            geometry,
            generation: 0,
            head: 0,
            head_epoch: epoch,
            epoch,
            epoch_start: 0,
            acknowledged: 0,
        };
        let superblock = self.next_epoch(superblock, 0).ok_or(Error::new(ErrorKind::WornOut))?;
        let Superblock { identity, epoch, .. } = superblock;
        let mark = Mark { identity, epoch, geometry }.bytes(0);
        superblocks::create(medium, &superblock, &mark).map_err(Error::medium)?;
        Ok(Opened { superblock, in_flight: InFlight::new(geometry, 0, geometry.beginning(0).end) })
    }

    /// Opens a journal for appending: finds its end, and begins a new epoch after it, so that nothing that was
    /// under way can appear again. A crash meanwhile changes nothing.
    ///
    /// One process appends at a time; a [`DaxFile`](../dax/struct.DaxFile.html) sees to that.
    ///
    /// # Errors
    /// If there is no journal, or not the whole of it; of another version; if it is
    /// [damaged](ErrorKind::Damaged): then it can be read, and [repaired](Self::repair); [`ErrorKind::WornOut`]. If the
    /// medium fails.
    ///
    /// # Cost
    /// All records are read. Two fences.
    pub fn open<M: Medium>(mut self, medium: M) -> Result<(Journal<M>, Recovered), OpenError<M>> {
        let opened =
            superblocks::load(&medium).and_then(|superblock| self.recover(&medium, superblock));
        Journal::with(medium, opened)
    }

    /// Opens the journal of a superblock.
    fn recover<M: Medium>(
        &mut self,
        medium: &M,
        superblock: Superblock,
    ) -> Result<(Opened, Recovered), Error<M::Error>> {
        let (recovered, epoch) = self.survey(medium, superblock).map_err(Error::medium)?;
        if let Some(damage) = recovered.damage {
            return Err(Error::new(ErrorKind::Damaged(damage)));
        }
        keep(medium, &superblock, recovered.end.0).map_err(Error::medium)?;
        Ok((self.begin(medium, superblock, (recovered.end.0, epoch))?, recovered))
    }

    /// Walks over all records, and tells of it, and in which epoch the last one is.
    pub(super) fn survey<M: Medium>(
        &mut self,
        medium: &M,
        superblock: Superblock,
    ) -> Result<(Recovered, Epoch), M::Error> {
        match &mut self.progress {
            Some(progress) => survey(medium, superblock, progress),
            None => survey(medium, superblock, &mut |_| ()),
        }
    }

    /// Begins an epoch at `start`, the end of the last record, which is of epoch `before`; all before it is durable. If
    /// no record was appended in the last epoch, this one takes its place, so that opening takes no room again and
    /// again.
    pub(super) fn begin<M: Medium>(
        &self,
        medium: &M,
        superblock: Superblock,
        (start, before): (u64, Epoch),
    ) -> Result<Opened, Error<M::Error>> {
        let superblock =
            self.next_epoch(superblock, start).ok_or(Error::new(ErrorKind::WornOut))?;
        superblocks::store(medium, &superblock).map_err(Error::medium)?;
        let in_flight = begin(medium, &superblock, before).map_err(Error::medium)?;
        Ok(Opened { superblock, in_flight })
    }

    /// The superblock of the epoch that begins at `start`; `None` if there are no numbers left.
    fn next_epoch(&self, superblock: Superblock, start: u64) -> Option<Superblock> {
        let number = superblock.epoch.number + 1;
        let key = tag::of_words(tag::of(number, &superblock.identity.0), self.entropy);
        let next = Superblock {
            generation: superblock.generation + 1,
            epoch: Epoch { number, key },
            epoch_start: start,
            acknowledged: start,
            ..superblock
        };
        next.checked()
    }

    fn geometry<E>(&self, size: u64) -> Result<Geometry, Error<E>> {
        let room = size.saturating_sub(LOG);
        let segment = self.segment.unwrap_or_else(|| {
            let many = (room / MANY).max(1);
            SEGMENT.min(1 << many.ilog2()).max(*geometry::SEGMENT.start())
        });
        let segments = room.checked_div(segment).unwrap_or(0).max(geometry::SEGMENTS);
        let capacity = segments.saturating_mul(segment);
        let part = segments / 4 * segment;
        let usual = WINDOW.max(segment.saturating_mul(4)).min(part).max(segment.saturating_mul(2));
        let window = self.window.unwrap_or(usual);
        let sizes = ErrorKind::Sizes { segment, alignment: self.alignment, window };
        let geometry = Geometry { segment, capacity, alignment: self.alignment, window };
        let geometry = geometry.checked().ok_or(Error::new(sizes))?;
        let needed = least(segment);
        if size < needed {
            return Err(Error::new(ErrorKind::TooSmall { size, needed }));
        }
        Ok(geometry)
    }
}

/// Makes durable what was read and may be in the caches only, as a process that was killed leaves it: the
/// superblock, before the other one is written, and at most a window before the end, since everything
/// before was acknowledged.
fn keep<M: Medium>(medium: &M, superblock: &Superblock, end: u64) -> Result<(), M::Error> {
    let from = end.saturating_sub(superblock.geometry.window).max(superblock.head);
    superblocks::writeback(medium, superblock)?;
    persist(medium, &superblock.geometry, from..end)
}

/// Persists a range of positions.
pub(super) fn persist<M: Medium>(
    medium: &M,
    geometry: &Geometry,
    range: Range<u64>,
) -> Result<(), M::Error> {
    let (at, len) = (geometry.place(range.start), range.end - range.start);
    let first = len.min(geometry.bytes() - at);
    medium.writeback(at..at + first)?;
    medium.writeback(LOG..LOG + len - first)?;
    medium.fence();
    Ok(())
}

/// Begins the epoch of a superblock that is durable, behind the last record, which is of epoch `before`.
fn begin<M: Medium>(
    medium: &M,
    superblock: &Superblock,
    before: Epoch,
) -> Result<InFlight, M::Error> {
    let Superblock { identity, geometry, head, epoch, epoch_start, .. } = *superblock;
    let placement = geometry.beginning(epoch_start);
    let mark = Mark { identity, epoch, geometry }.bytes(placement.record);
    // Of the epoch that a walk is still in when it comes here.
    let skipped = placement.void.map(|at| (at, void(before.key, at, geometry.left(at))));
    let (skip, bytes) =
        skipped.as_ref().map_or((placement.record, &[][..]), |(at, bytes)| (*at, &bytes[..]));
    medium.persist_copy(&[
        (geometry.place(skip), bytes),
        (geometry.place(placement.record), &mark),
    ])?;
    Ok(InFlight::new(geometry, head, placement.end))
}
