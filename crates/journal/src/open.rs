//! Creating and opening: recovery, and the start of an epoch in a new segment.

use super::error::{Error, ErrorKind, FormatError, OpenError, least};
use super::geometry::{self, FORMAT, Geometry, LOG, PAGE, WORD};
use super::journal::Journal;
use super::reader::{Reader, survey};
use super::record::{Epoch, Mark};
use super::recovered::Recovered;
use super::rewritten;
use super::state::State;
use super::walk::{Step, Walk};
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::identity::Identity;
use cachemaint_format::tag;
use cachemaint_format::unreadable::ThroughKernel;
use cachemaint_format::writer::{self, Call, with_default_options};

/// The options for creating or opening a journal.
#[derive(Clone, Debug)]
pub struct Options {
    segment: Option<u64>,
    alignment: u64,
    entropy: [u64; 2],
}

/// The result of creating or opening a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Opened {
    /// True if this call created the journal.
    pub is_new: bool,
    /// The content of the journal: the default value for a new one.
    pub recovered: Recovered,
}

/// Bytes of a segment if the medium has space for many.
const SEGMENT: u64 = 64 << 10;
/// The number of segments below which they are made smaller.
const MANY: u64 = 16;

#[cfg(feature = "std")]
impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Returns the default options, with random bytes from the system.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn new() -> Self {
        Self::with_entropy(cachemaint_format::identity::entropy())
    }

    /// Returns the default options with these random words, which must differ for each opening and on each machine. The
    /// identity of a journal and the key of an epoch are made from them and from the bytes that the journal replaces. If
    /// words repeat, two journals that replace the same bytes, such as zeros, have one identity, and records that are
    /// copied from one to the other can pass for its own.
    #[must_use]
    pub const fn with_entropy(entropy: [u64; 2]) -> Self {
        Self { segment: None, alignment: WORD, entropy }
    }

    /// Sets the segment size of a new journal in bytes: a power of two up to 4 MiB. The default is 64 KiB, or less if
    /// there would be fewer than 16 segments. Some space is lost at the end of each segment, and each opening begins a
    /// new one.
    ///
    /// A record or a [group](super::Group) must fit into a segment together with its 64-byte mark. A record takes 16
    /// bytes plus its payload, rounded up to a multiple of 8. [`Journal::largest`] is the longest payload. What appends
    /// have in progress at any time extends over a quarter of the journal, at most 256 KiB or four segments, and at least
    /// two segments. It takes half of that in memory.
    #[must_use]
    pub const fn segment(self, bytes: u64) -> Self {
        Self { segment: Some(bytes), ..self }
    }

    /// Sets whether a power cut during a write leaves the bytes around it unchanged, as SQLite's option of this name does.
    /// The default is true. False is for [drives that lose sectors](super#limits): in a new journal, records and marks
    /// then take whole pages of 4096 bytes, so that no append rewrites a page with an earlier record. An opening still
    /// writes the last records again.
    #[must_use]
    pub const fn powersafe_overwrite(self, is_safe: bool) -> Self {
        Self { alignment: if is_safe { WORD } else { PAGE }, ..self }
    }

    /// Sets the sizes of a new journal to those of another one, for example one to be salvaged.
    #[must_use]
    pub const fn sizes_of<M>(self, other: &Reader<M>) -> Self {
        let Geometry { segment, alignment, .. } = other.geometry();
        Self { segment: Some(segment), alignment, ..self }
    }

    /// Creates a journal that fills a medium, and opens it. The journal is durable when this returns. A crash leaves a
    /// complete journal or none.
    ///
    /// Overwrites any other content at the start of the medium, but never a journal, a recording or a store.
    ///
    /// # Errors
    /// [`FormatError::Exists`] if the medium has a journal; [`FormatError::Foreign`] if it has a recording or a store;
    /// [`ErrorKind::Sizes`] if these sizes are impossible; [`FormatError::TooSmall`] if the medium is too small for
    /// them; [`FormatError::SecondWriter`]; or if the medium fails.
    ///
    /// # Cost
    /// Two fences. With page granularity, six system calls.
    pub fn create_new<M: Medium>(self, medium: M) -> Opening<Journal<M>, M> {
        self.begin(medium, Call::CreateNew)
    }

    /// Opens the journal in a medium for appending as [`open`](Self::open) does, or creates it if it is missing. The
    /// sizes in these options apply only to a new journal.
    ///
    /// A journal is missing if the first eight bytes of all root slots are zero, as in a new file, or after a crash
    /// during creation.
    ///
    /// # Errors
    /// Same as [`open`](Self::open) if the medium has a journal or [other content](FormatError::Foreign); otherwise
    /// same as [`create_new`](Self::create_new).
    ///
    /// # Cost
    /// That of [`open`](Self::open) or [`create_new`](Self::create_new).
    pub fn open_or_create<M: Medium>(self, medium: M) -> Opening<Journal<M>, M> {
        self.begin(medium, Call::OpenOrCreate)
    }

    fn begin<M: Medium>(&self, medium: M, call: Call) -> Opening<Journal<M>, M> {
        let begun = writer::begin(&medium, FORMAT, call).map_err(Error::format);
        let begun = begun.and_then(|(is_new, lock)| {
            Ok((lock, if is_new { self.create(&medium)? } else { self.recover(&medium)? }))
        });
        match begun {
            Ok((lock, (state, opened))) => Ok((Journal::new(medium, lock, &state), opened)),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    fn create<M: Medium>(&self, medium: &M) -> Result<Begun, Error<M::Error>> {
        let geometry = self.geometry(medium.len())?;
        let remains = remains(medium, LOG);
        let identity = Identity::from_entropy([self.entropy[0] ^ remains, self.entropy[1]]);
        let epoch = self.epoch(identity, 1, remains);
        let state = State {
            identity,
            generation: 1,
            geometry,
            head: 0,
            head_epoch: epoch,
            epoch,
            before: 0,
            acknowledged: 0,
        };
        state.root().create(medium, FORMAT).map_err(Error::medium)?;
        Ok((state, Opened { is_new: true, ..Opened::default() }))
    }

    /// Opens a journal for appending. It finds the end of the records and begins a new epoch in the next segment, so
    /// that no record that was in progress can appear later. A crash during this call does not change the records. A
    /// full journal can be opened, and must be trimmed before the first append.
    ///
    /// Only one process may append at a time; a [`DaxFile`](https://docs.rs/cachemaint/latest/cachemaint/dax/struct.DaxFile.html) ensures that. Within this process the
    /// medium's [`writer_lock`](Medium::writer_lock) does.
    ///
    /// # Errors
    /// If the medium has no journal, or only part of one; if its version is unknown; if the medium fails; if the
    /// journal is [damaged](ErrorKind::Damaged): it can still be read and [salvaged](super::Reader::salvage).
    /// [`FormatError::Roots`]; [`FormatError::WornOut`]; [`FormatError::SecondWriter`]. Nothing was written in these
    /// cases.
    ///
    /// [`FormatError::Failed`] with page granularity, if an earlier failure kept a record off the medium and the
    /// operating system dropped it during this call: open the journal again.
    ///
    /// # Cost
    /// Reads all records. Four fences. Writes the last window of records back again. With page granularity, it also
    /// stores and reads these records once more.
    pub fn open<M: Medium>(self, medium: M) -> Opening<Journal<M>, M> {
        self.begin(medium, Call::Open)
    }

    fn recover<M: Medium>(&self, medium: &M) -> Result<Begun, Error<M::Error>> {
        let reads = ThroughKernel::buffered(medium);
        let (state, loaded) = State::load(&reads, Rereadings::ALONE)?;
        let mut recovered = survey(&reads, state).map_err(Error::medium)?;
        if let Some(damage) = recovered.damage {
            return Err(Error::new(ErrorKind::Damaged(damage)));
        }
        recovered.root_lost = loaded.is_one_lost();
        let end = recovered.end.0;
        let remains = remains(&reads, state.geometry.place(state.geometry.next_segment(end)));
        let next = State {
            generation: state.generation + 1,
            epoch: self.epoch(state.identity, state.epoch.number + 1, remains),
            before: end,
            acknowledged: end,
            ..state
        };
        let next = next.checked().ok_or(Error::format(FormatError::WornOut))?;
        // A crash may tear the next root, so this one must be durable first.
        loaded.root.restore(medium, FORMAT, loaded.is_damaged).map_err(Error::medium)?;
        if !keep(medium, state, end).map_err(Error::medium)? {
            return Err(Error::format(FormatError::failed(medium)));
        }
        next.store(medium).map_err(Error::medium)?;
        Ok((next, Opened { is_new: false, recovered }))
    }

    fn epoch(&self, identity: Identity, number: u64, remains: u64) -> Epoch {
        Epoch::new(identity, number, self.entropy[0] ^ self.entropy[1] ^ remains)
    }

    fn geometry<E>(&self, size: u64) -> Result<Geometry, Error<E>> {
        let room = size.saturating_sub(LOG);
        let segment = self.segment.unwrap_or_else(|| {
            let many = (room / MANY).max(1);
            SEGMENT.min(1 << many.ilog2()).max(Geometry::least(self.alignment))
        });
        let segments = room.checked_div(segment).unwrap_or(0).max(geometry::SEGMENTS);
        let capacity = segments.saturating_mul(segment);
        let geometry = Geometry::new(segment, capacity, self.alignment);
        let geometry = geometry.ok_or(Error::new(ErrorKind::Sizes { segment }))?;
        let needed = least(segment);
        if size < needed {
            return Err(Error::format(FormatError::TooSmall { size, needed }));
        }
        Ok(geometry)
    }
}

with_default_options!(M, Journal<M>);

/// The state of an opened journal, and the findings.
type Begun = (State, Opened);
/// An opened journal, and the findings.
type Opening<J, M> = Result<(J, Opened), OpenError<M>>;

/// Returns a hash of the mark in the place of the first new record, or 0 if there is none. As part of the entropy it gives
/// a new key to a log that replaces another one, even if the entropy is the same.
fn remains<M: Readable>(medium: &M, place: u64) -> u64 {
    let mut bytes = [0; Mark::SIZE];
    // Unreadable bytes count as none.
    let is_read = medium.read(place, &mut bytes).is_ok();
    if is_read && bytes != [0; Mark::SIZE] { tag::of(0, &bytes) } else { 0 }
}

/// Makes durable the records that were read but may be only in the caches, since their process was killed or a
/// write-back failed: at most a window before the end. Everything earlier was acknowledged, or found by an earlier
/// opening.
///
/// Returns true if the records did not change. After a failed write-back, the operating system can drop a page between
/// the read and the stores here, but not after them.
fn keep<M: Medium>(medium: &M, state: State, end: u64) -> Result<bool, M::Error> {
    let geometry = state.geometry;
    let from = end.saturating_sub(geometry.window).max(state.head).max(state.start());
    if from >= end {
        return Ok(true);
    }
    let (at, len) = (geometry.place(from), end - from);
    let first = len.min(geometry.bytes() - at);
    rewritten::writeback(medium, at..at + first)?;
    rewritten::writeback(medium, LOG..LOG + len - first)?;
    medium.fence()?;
    if !medium.granularity().is_by_pages() {
        return Ok(true);
    }
    let reads = ThroughKernel::buffered(medium);
    let mut walk = Walk::new(&reads, state);
    walk.enter(geometry.segment_of(from).max(state.head))?;
    while !matches!(walk.step()?, Step::End(_)) {}
    Ok(walk.last == end)
}
