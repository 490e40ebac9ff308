//! Creating and opening: recovery, and the beginning of an epoch.

use super::error::{Error, ErrorKind, OpenError, least};
use super::format::geometry::{self, Geometry, HEADER, LOG};
use super::format::record::{Epoch, Mark, TAG, void};
use super::format::superblock::{Found, MAGIC, Superblock};
use super::inflight::InFlight;
use super::reader::survey;
use super::writeback::persist;
use super::{Identity, Journal, Progress, Recovered, superblocks};
use crate::format::layout::Field as _;
use crate::format::reread::Rereadings;
use crate::format::{magic, tag};
use crate::medium::{Medium, Readable};
use core::fmt;
use core::sync::atomic::Ordering;

/// The options with which a journal is created or opened.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cachemaint::{Cache, journal::Options, medium::Memory, survival::Backing};
/// use std::sync::atomic::AtomicU64;
///
/// let words: Vec<AtomicU64> = (0..32768).map(|_| AtomicU64::new(0)).collect();
/// let memory = Memory::new(&words, Cache::host()?, Backing::Ram);
/// // The error is returned without the medium, since the medium is borrowed.
/// let journal = Options::new().segment(4096).create_new(memory).map_err(|failed| failed.error)?;
/// journal.append(b"the first record")?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
pub struct Options<'p> {
    segment: Option<u64>,
    window: Option<u64>,
    alignment: u64,
    entropy: [u64; 2],
    refuses_discard: bool,
    progress: Option<&'p mut dyn FnMut(Progress)>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("segment", &self.segment)
            .field("window", &self.window)
            .field("alignment", &self.alignment)
            .field("refuses_discard", &self.refuses_discard)
            .finish_non_exhaustive()
    }
}

/// A journal that can be appended to, without its medium.
pub(super) struct Opened {
    pub(super) superblock: Superblock,
    pub(super) in_flight: InFlight,
}

/// Bytes of a segment in a medium with space for many.
const SEGMENT: u64 = 64 << 10;
/// The number of segments below which they are made smaller.
const MANY: u64 = 8;
/// Bytes of a window by default.
const WINDOW: u64 = 256 << 10;

#[cfg(feature = "std")]
impl Default for Options<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'p> Options<'p> {
    /// Returns the default options, with random bytes of the system.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn new() -> Self {
        Self::with_entropy(crate::format::identity::entropy())
    }

    /// Returns the default options with these random words. They should differ at each opening and on each machine: the
    /// identity of a journal and the key of an epoch are made of them, and distinguish its records from other ones.
    #[must_use]
    pub const fn with_entropy(entropy: [u64; 2]) -> Self {
        let (segment, window, progress) = (None, None, None);
        Self { segment, window, alignment: 8, entropy, refuses_discard: false, progress }
    }

    /// Sets the bytes of a segment of a new journal, a power of two. The default is 64 KiB, or less if there would be
    /// too few segments. At the end of each segment some space is lost.
    ///
    /// A record is the largest batch that a crash leaves whole or not at all: a [group](super::Group) is not atomic. A record
    /// takes 16 bytes and its payload, rounded up to the [alignment](Self::alignment). It fits into a segment beside its
    /// mark of 64 bytes, also rounded up: [`Journal::largest`] is the longest payload. A group must fit as a whole.
    #[must_use]
    pub fn segment(self, bytes: u64) -> Self {
        Self { segment: Some(bytes), ..self }
    }

    /// Sets the window of a new journal: the number of bytes by which records may be ahead of the acknowledged ones.
    /// The default is 256 KiB, or four segments if they are more, but at most a quarter of the journal, and at least two
    /// segments. The maximum is 256 MiB. A window takes half its size in memory, rounded up to a power of two.
    #[must_use]
    pub fn window(self, bytes: u64) -> Self {
        Self { window: Some(bytes), ..self }
    }

    /// Sets the alignment of records in a new journal, in bytes. The default is 8, which packs them. With the size of a
    /// line, no two producers share a line.
    ///
    /// With 4096, the largest one, an append writes no page of 4096 bytes with an earlier record. That is for
    /// [drives that lose a sector](super#drives-that-lose-a-sector). An opening still writes the last records once more.
    #[must_use]
    pub fn alignment(self, bytes: u64) -> Self {
        Self { alignment: bytes, ..self }
    }

    /// Makes an opening fail if it would discard whole records after a torn end ([`ErrorKind::WouldDiscard`]). Nothing
    /// is written then: [`repair`](Self::repair) keeps these records, and an opening without this option discards them.
    ///
    /// By default they are discarded. Producers that append at the same time leave such an end at a crash, and so does
    /// a group; none of its records was acknowledged. But damage to an acknowledged record of the last group leaves the
    /// same end, unless the journal was [closed](Journal::close). Damage that reaches to the end leaves no whole record,
    /// so an opening does not notice it with this option either.
    #[must_use]
    pub fn refuse_discard(self) -> Self {
        Self { refuses_discard: true, ..self }
    }

    /// Sets a function that is called now and then while an opening or a repair reads a journal.
    #[must_use]
    pub fn progress(self, progress: &'p mut dyn FnMut(Progress)) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// Creates a journal in a medium, as large as the medium allows, and opens it. The journal is durable when this
    /// returns. A crash leaves all of it or none.
    ///
    /// Other bytes at the beginning of the medium are overwritten. An existing journal, whole or damaged, is not
    /// overwritten as long as one of its superblocks, at offset 0 or 4096, has its first eight bytes. If neither has
    /// them, this call discards all records of that journal. The same holds for a recording or a store.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`], if the medium has a journal; [`ErrorKind::NotAJournal`], if it has a recording or a store;
    /// [`ErrorKind::Sizes`], if these sizes are impossible;
    /// [`ErrorKind::TooSmall`], if the medium is too small for them; if the medium fails. [`ErrorKind::SecondWriter`].
    ///
    /// # Cost
    /// Three fences. By pages six flushes were counted.
    pub fn create_new<M: Medium>(self, medium: M) -> Result<Journal<M>, OpenError<M>> {
        let create = |medium: &M| Ok((self.create_where_none_is(medium)?, ()));
        Journal::with(medium, create).map(|(journal, ())| journal)
    }

    /// Opens the journal in a medium for appending as [`open`](Self::open) does, or creates it if it is missing. The
    /// sizes among these options are used for a new journal only.
    ///
    /// A journal is missing if the first eight bytes of both superblocks, at offsets 0 and 4096, are zero. If the log
    /// has marks all the same, the superblocks are [lost](ErrorKind::Superblocks): a journal has a mark from its creation
    /// on. A journal is missing too if a crash has cut a creation off.
    ///
    /// # Errors
    /// As [`open`](Self::open), if the medium has a journal or [something else](ErrorKind::NotAJournal); otherwise as
    /// [`create_new`](Self::create_new).
    ///
    /// # Cost
    /// That of [`open`](Self::open). If the journal is missing, all of the medium is searched for marks, and the cost
    /// is that of [`create_new`](Self::create_new) besides.
    pub fn open_or_create<M: Medium>(
        mut self,
        medium: M,
    ) -> Result<(Journal<M>, Recovered), OpenError<M>> {
        Journal::with(medium, |medium| self.open_or_create_in(medium))
    }

    fn open_or_create_in<M: Medium>(
        &mut self,
        medium: &M,
    ) -> Result<(Opened, Recovered), Error<M::Error>> {
        // A medium that is too small for the superblocks has no journal.
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
        let [Found::Other(first), Found::Other(second)] = superblocks::found(medium)? else {
            return Err(Error::new(ErrorKind::Exists));
        };
        if let Some(found) = magic::another([first, second], MAGIC) {
            return Err(Error::new(ErrorKind::NotAJournal { found }));
        }
        self.create(medium, geometry)
    }

    /// Creates a journal of these sizes in a medium without one.
    fn create<M: Medium>(&self, medium: &M, geometry: Geometry) -> Result<Opened, Error<M::Error>> {
        let epoch = Epoch { number: 0, key: 0 };
        let superblock = Superblock {
            identity: Identity::from_entropy(self.entropy),
            geometry,
            generation: 0,
            head: 0,
            head_epoch: epoch,
            epoch,
            epoch_start: 0,
            acknowledged: 0,
            is_under_repair: false,
        };
        let first = self.next_epoch(superblock, 0).ok_or(Error::new(ErrorKind::WornOut))?;
        // The first mark is durable before this superblock is.
        let superblock = Superblock { acknowledged: geometry.beginning(0).end, ..first };
        let Superblock { identity, epoch, .. } = superblock;
        let mark = Mark { identity, epoch, geometry }.bytes(0);
        superblocks::create(medium, &superblock, &mark).map_err(Error::medium)?;
        Ok(Opened { superblock, in_flight: InFlight::new(geometry, 0, geometry.beginning(0).end) })
    }

    /// Opens a journal for appending. It finds the end of the records and begins a new epoch there, so that no record
    /// that was under way can appear later. A crash meanwhile does not change the records.
    ///
    /// After a torn end whole records can be left, which do not count. They are discarded, and
    /// [`Recovered::behind`] is their number. With [`refuse_discard`](Self::refuse_discard) the opening fails instead.
    ///
    /// A journal keeps the size of its creation: if the medium has grown, the rest of it is not used. A larger log is a new
    /// journal, to which the program changes at a checkpoint, as in [`Journal::trim`].
    ///
    /// Only one process may append at a time; a [`DaxFile`](../dax/struct.DaxFile.html) ensures that. Within this process the
    /// medium's [`writer_lock`](Medium::writer_lock) does.
    ///
    /// # Errors
    /// If the medium has no journal, or only a part of it; if its version is unknown; if the medium fails. If the
    /// journal is [damaged](ErrorKind::Damaged): then it can be read, and [repaired](Self::repair).
    /// [`ErrorKind::Superblocks`]: it can be repaired too. [`ErrorKind::WouldDiscard`], with
    /// [`refuse_discard`](Self::refuse_discard); [`ErrorKind::WornOut`]; [`ErrorKind::SecondWriter`].
    ///
    /// # Cost
    /// All records are read. Two fences. The last window of records is written back again, or all records after a repair
    /// that did not end. Where the granularity is a page, they are stored once more for that: after a failed write-back
    /// the operating system shows bytes that are not in the medium. By pages four flushes were counted.
    pub fn open<M: Medium>(mut self, medium: M) -> Result<(Journal<M>, Recovered), OpenError<M>> {
        Journal::with(medium, |medium| self.recover(medium, superblocks::load(medium)?))
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
        let Superblock { geometry, head, .. } = superblock;
        // Appending leaves space for the next epoch. If it is missing, a lost superblock had a later head.
        if geometry.beginning(recovered.end.0).end > geometry.limit(head) {
            return Err(Error::new(ErrorKind::Superblocks));
        }
        if self.refuses_discard && recovered.behind > 0 {
            let Recovered { end, behind, .. } = recovered;
            return Err(Error::new(ErrorKind::WouldDiscard { end, behind }));
        }
        keep(medium, &superblock, recovered.end.0).map_err(Error::medium)?;
        Ok((self.begin(medium, superblock, (recovered.end.0, epoch))?, recovered))
    }

    /// Walks over all records. Returns their summary and the epoch of the last one.
    pub(super) fn survey<M: Readable>(
        &mut self,
        medium: &M,
        superblock: Superblock,
    ) -> Result<(Recovered, Epoch), M::Error> {
        let mut silent = |_: Progress| ();
        let progress = self.progress.as_deref_mut().unwrap_or(&mut silent);
        survey(medium, superblock, Rereadings::ALONE, progress)
    }

    /// Begins an epoch at `start`, the end of the last record, which is of epoch `before`. Everything before `start` is
    /// durable. If the last epoch has no record, the new one takes its place, so that repeated openings use no more
    /// space.
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

    /// Returns the superblock of the epoch that begins at `start`, or `None` if no numbers are left.
    pub(super) fn next_epoch(&self, superblock: Superblock, start: u64) -> Option<Superblock> {
        let number = superblock.epoch.number + 1;
        let key = tag::of_words(tag::of(number, &superblock.identity.0), self.entropy);
        let next = Superblock {
            generation: superblock.generation + 1,
            epoch: Epoch { number, key },
            epoch_start: start,
            acknowledged: start,
            is_under_repair: false,
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

/// Makes durable the bytes that were read but may be in the caches only, since their process was killed or a write-back
/// failed. These are the superblock, before the other one is written, and at most a window before the end: everything
/// earlier was acknowledged. A repair that did not end can have written anywhere.
fn keep<M: Medium>(medium: &M, superblock: &Superblock, end: u64) -> Result<(), M::Error> {
    let Superblock { geometry, head, is_under_repair, .. } = *superblock;
    let window_start = end.saturating_sub(geometry.window).max(head);
    let from = if is_under_repair { head } else { window_start };
    superblocks::writeback(medium, superblock)?;
    persist(medium, &geometry, from..end)
}

/// Begins the epoch of a superblock that is durable, after the last record, which is of epoch `before`.
fn begin<M: Medium>(
    medium: &M,
    superblock: &Superblock,
    before: Epoch,
) -> Result<InFlight, M::Error> {
    let Superblock { identity, geometry, head, epoch, epoch_start, .. } = *superblock;
    let placement = geometry.beginning(epoch_start);
    let mark = Mark { identity, epoch, geometry }.bytes(placement.record);
    medium.copy_unfenced(&[(geometry.place(placement.record), &mark)])?;
    if let Some(at) = placement.void {
        // The void belongs to the epoch that a walk is still in when it comes here.
        let header = void(before.key, at, geometry.left(at));
        store_after_mark(medium, geometry.place(at), &header)?;
    }
    medium.fence();
    Ok(InFlight::new(geometry, head, placement.end))
}

/// Stores a void before the mark of an epoch, and issues its write-back. A reader that still has the superblock of the
/// epoch before must not pass the void before it sees this mark. It would believe a mark of that epoch in its place, and
/// return records that the opening discards.
fn store_after_mark<M: Medium>(
    medium: &M,
    at: u64,
    header: &[u8; HEADER as usize],
) -> Result<(), M::Error> {
    let (tag, second) = header.split_at(TAG);
    medium.write(at + TAG as u64, second);
    medium.store(at, u64::take(tag), Ordering::Release);
    medium.issue_writeback(at..at + HEADER)
}
