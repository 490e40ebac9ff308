//! Reading of recordings: only headers and records with a valid tag are used.
//!
//! # Work
//! Each byte of a recording is read once or twice: an event of more than 240 bytes is verified again when it is copied.
//! Headers are read a few times more. Bytes without a header, or after damage, are searched for records once for each header that
//! may have been there. Each costs a search, so that only few openings are tried. If all bytes of the slot are zero, they
//! are read once. For any content of a file, the reads of all bytes together are at most 180 times the size of the file. So
//! the work grows only with this size. Beside a writer that overtakes the reader, a shard may be read up to four times
//! more. The memory is one [`Events`] for each shard.
//!
//! The figure is the sum of these:
//! - A search reads a word at each place: the size of the sub-buffer. It ends when twice that size was verified
//!   in vain. The last record may have the whole size, and of a longer record than [`CHUNK`](search::CHUNK) as many bytes
//!   are read twice: 5.2 times the size. Together a search costs at most 6.2 times the size.
//! - A slot without a header that counts is searched in each of three rounds. For the lap before the last one and for the
//!   last one five openings are tried, and for the next lap four. The round of the last lap searches for sub-buffers of the
//!   next one as well. So there are 5 + 9 + 4 searches at most. Together 18 × 6.2 = 112 times the size of the file. Beside an
//!   older header there is no search in the first of the rounds.
//! - The events of a slot are read twice: those of the lap before the last one or of an older header, and newer ones. Each
//!   time is a search, and two more for records of the lap before. Valid records are read three times. Gaps and records may
//!   take turns, with four headers for each: 32 times in all, and so 64 times.
//! - Each of the three rounds looks for zeros: 3 times the size.
//! - The headers of a sub-buffer, and of those beside it, are read fewer than 42 times. Of these, eight are for sub-buffers
//!   of older laps, and nine are to the right of a slot. Each of the three rounds may read both descriptors for an opening
//!   without a header. For a sub-buffer of 256 bytes this is 17 times the size, and for larger ones it is less. But the
//!   64 bytes of a header are neither searched nor read for events. This is a quarter of such a sub-buffer, and so 44 times
//!   the size less. The sum is highest for large sub-buffers: 179 times.
//!
//! The tables of events are checked once. Both pages are read, their descriptors a few times, and all headers three times at
//! most. The name and the fields of an event are then found by binary searches. They are parts of a text of at most 512
//! bytes, and an event takes 24 bytes or more. So for any content of a file, the names beside all events have at most 22
//! times the size of the file.

pub(super) mod found;
pub(super) mod merged;
mod newest;
pub(super) mod search;
pub(super) mod shard;
mod sub_buffer;

use super::events::Texts;
use super::format::{
    BadDescriptor, DESCRIPTOR, DESCRIPTORS, Description, Geometry, HEADER, Header, MAGIC,
};
use super::{Error, ErrorKind, EventTable, Events};
use crate::format::magic;
use crate::medium::{OpenError, Readable};
use crate::sync::fence;
use core::cmp::Reverse;
use core::sync::atomic::Ordering;

/// A reader of a recording.
///
/// It needs no cooperation of the writer: each record is copied and then verified. A record that is overwritten meanwhile
/// does not verify, and is skipped.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::recorder::{Found, Options, Reader};
///
/// # let recorder = Options::new().shards(2).open_or_create(medium)?;
/// # recorder.claim()?.record(3, b"the valve is open")?;
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// let reader = Reader::open(medium)?;
/// let mut buffer = vec![0; reader.largest_payload()];
/// let mut events = reader.events(); // of all shards, by opening, then by time
/// while let Some(found) = events.read_next(&mut buffer)? {
///     match found {
///         Found::Event(event) => println!("{} in shard {}", event.id, event.shard),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    description: Description,
}

impl<S: Readable> Reader<S> {
    /// Opens the recording in a source for reading.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the words at 0 and at 4096 are zero. [`ErrorKind::Truncated`], [`ErrorKind::Foreign`],
    /// [`ErrorKind::Version`] and [`ErrorKind::Damaged`] if the source has other content, which they describe.
    /// [`ErrorKind::Medium`] if neither descriptor can be read.
    pub fn open(source: S) -> Result<Self, OpenError<S, Error<S::Error>>> {
        match Self::locate(&source) {
            Ok((description, _)) => Ok(Self { source, description }),
            Err(kind) => Err(OpenError::new(source, Error::new(kind))),
        }
    }

    /// Returns the description that counts, and the place of the other one.
    pub(super) fn locate(source: &S) -> Result<(Description, u64), ErrorKind<S::Error>> {
        let (len, needed) = (source.len(), DESCRIPTORS[1] + DESCRIPTOR as u64);
        if len < needed {
            return Err(match magic::other_than(MAGIC, source).map_err(ErrorKind::Medium)? {
                Some([first, second]) => ErrorKind::Foreign { first, second },
                None => ErrorKind::Truncated { len, needed },
            });
        }
        let [first, second] =
            DESCRIPTORS.map(|at| Ok::<_, S::Error>((at, Self::descriptor(source, at)?)));
        source.check().map_err(ErrorKind::Medium)?;
        let (description, other) = match (first, second) {
            (Ok((a, first)), Ok((b, second))) => Self::newest_of((a, first), (b, second))?,
            // One descriptor cannot be read: the other one is used.
            (Ok((at, found)), Err(_)) | (Err(_), Ok((at, found))) => {
                let other = DESCRIPTORS[0] + DESCRIPTORS[1] - at;
                (found.map_err(|bad| ErrorKind::bad((at, bad), (at, bad)))?, other)
            }
            (Err(error), Err(_)) => return Err(ErrorKind::Medium(error)),
        };
        let needed = description.geometry().len().unwrap_or(u64::MAX);
        if len < needed {
            return Err(ErrorKind::Truncated { len, needed });
        }
        Ok((description, other))
    }

    /// Returns a reader of the recording with this description.
    pub(super) const fn of(source: S, description: Description) -> Self {
        Self { source, description }
    }

    /// Reads the descriptor at a place.
    pub(super) fn descriptor(
        source: &S,
        at: u64,
    ) -> Result<Result<Description, BadDescriptor>, S::Error> {
        // The bytes after another magic have no meaning: a creation may be writing them.
        let mut magic = [0; 8];
        source.read(at, &mut magic)?;
        if magic != MAGIC {
            return Ok(Err(BadDescriptor::Magic(magic)));
        }
        let mut bytes = [0; DESCRIPTOR];
        source.read(at, &mut bytes)?;
        Ok(Description::from_bytes(&bytes))
    }

    /// Returns the description that counts, and the place of the other one.
    fn newest_of(
        (a, first): (u64, Result<Description, BadDescriptor>),
        (b, second): (u64, Result<Description, BadDescriptor>),
    ) -> Result<(Description, u64), ErrorKind<S::Error>> {
        match (first, second) {
            // A newer program has written it: this program may read the rest of the file wrongly. A descriptor of an
            // older version is a leftover if the other descriptor is valid.
            (Err(bad), _) if bad.is_newer() => Err(ErrorKind::bad((a, bad), (a, bad))),
            (_, Err(bad)) if bad.is_newer() => Err(ErrorKind::bad((b, bad), (b, bad))),
            (Ok(first), Ok(second)) if first.generation >= second.generation => Ok((first, b)),
            (_, Ok(second)) => Ok((second, a)),
            (Ok(first), Err(_)) => Ok((first, b)),
            (Err(first), Err(second)) => Err(ErrorKind::bad((a, first), (b, second))),
        }
    }

    /// Returns the description in the file's descriptor.
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the length that a buffer for payloads must have.
    pub const fn largest_payload(&self) -> usize {
        self.description.geometry().largest_payload().next_multiple_of(8)
    }

    /// Returns the events of a shard, in the order in which they were recorded.
    ///
    /// # Panics
    /// If the recording does not have this shard.
    #[track_caller]
    pub fn shard(&self, shard: u32) -> Events<'_, S> {
        assert!(shard < self.description.shards, "there is no shard {shard}");
        Events::new(self, shard)
    }

    /// Reads the names of events and the types of their fields from the file.
    ///
    /// Damage is not an error: events whose table is damaged are read as if they had none. See
    /// [`EventTable::is_damaged`].
    ///
    /// # Errors
    /// [`ErrorKind::Medium`], if the medium has failed.
    ///
    /// # Cost
    /// Both pages of descriptors are read, and the headers of sub-buffers if one descriptor is not valid. The value is
    /// 12 KiB large.
    pub fn event_table(&self) -> Result<EventTable, Error<S::Error>> {
        let identity = self.description.identity;
        let mut pages = DESCRIPTORS.map(|page| {
            let found = Self::descriptor(&self.source, page).ok().and_then(Result::ok);
            (page, found.filter(|found| found.identity == identity))
        });
        // The newest one counts first.
        pages.sort_unstable_by_key(|(_, found)| Reverse(found.map(|found| found.generation)));
        // The tables of a page are lost with its descriptor.
        let mut is_damaged = self.has_lost_descriptor() && self.may_have_had_tables();
        let texts = pages.map(|(page, found)| {
            let found = found.filter(|found| found.tables > 0)?;
            let texts = Texts::read(&self.source, page, &found);
            is_damaged |= texts.is_none();
            texts
        });
        self.unless_failed(EventTable { texts, is_damaged })
    }

    /// Returns what was read, unless the medium has failed: then it may not be what is stored.
    pub(super) fn unless_failed<T>(&self, read: T) -> Result<T, Error<S::Error>> {
        match self.source.check() {
            Ok(()) => Ok(read),
            Err(error) => Err(Error::new(ErrorKind::Medium(error))),
        }
    }

    /// Returns true if the descriptor that does not count is torn or damaged, or cannot be read.
    ///
    /// This is normal after a crash in the middle of an opening, which had not recorded events then. The next opening
    /// overwrites that descriptor. Beside a program that opens the recording, it can be half stored for a moment.
    ///
    /// # Errors
    /// [`ErrorKind::Medium`], if the medium has failed.
    ///
    /// # Cost
    /// Both descriptors are read, and the headers of sub-buffers if one of their pages is empty.
    pub fn is_descriptor_lost(&self) -> Result<bool, Error<S::Error>> {
        self.unless_failed(self.has_lost_descriptor())
    }

    fn has_lost_descriptor(&self) -> bool {
        DESCRIPTORS.into_iter().any(|page| match Self::descriptor(&self.source, page) {
            Ok(Ok(_) | Err(BadDescriptor::Version(_))) => false,
            Ok(Err(BadDescriptor::Magic(magic))) if magic == [0; 8] => self.was_continued(),
            _ => true,
        })
    }

    /// Returns true if a lost descriptor may have had tables: an opening takes over those of the descriptor that counts, and
    /// adds its own before it records events.
    fn may_have_had_tables(&self) -> bool {
        self.description.tables > 0 || self.newest_generation() > self.description.generation
    }

    /// Returns true if the recording was opened again after its creation, so that both pages have descriptors.
    fn was_continued(&self) -> bool {
        self.description.generation > 1 || self.newest_generation() > 1
    }

    /// Returns the number of events that a shard has lost over all openings, according to the file: refused, too long or
    /// nested.
    ///
    /// # Errors
    /// [`ErrorKind::Medium`], if the medium has failed.
    pub fn lost(&self, shard: u32) -> Result<u64, Error<S::Error>> {
        self.unless_failed(self.counted_as_lost(shard))
    }

    /// Does the same for a caller who asks the medium afterwards.
    pub(super) fn counted_as_lost(&self, shard: u32) -> u64 {
        let word = self.source.load(Geometry::loss(shard), Ordering::Acquire);
        let counted = self.description.lost(shard, word).unwrap_or(0);
        let in_header = self.newest_header(shard).map_or(0, |header| header.lost);
        counted.max(in_header)
    }

    /// Returns the header in a slot, if it is valid. Its first words are checked one by one before the rest is read, since
    /// most bytes that are not a header fail there.
    ///
    /// The header is at least as new as all bytes that were read before. Bytes that are read afterwards are at least as new
    /// as the header.
    pub(super) fn header(&self, shard: u32, slot: u64) -> Option<Header> {
        fence(Ordering::Acquire);
        let geometry = self.description.geometry();
        let at = geometry.sub_buffer(shard, slot);
        let first = self.source.load(at, Ordering::Acquire);
        if first != Header::first_word(shard) {
            return None;
        }
        let sequence = Header::sequence_of(self.source.load(at + 8, Ordering::Acquire));
        if geometry.slot(sequence) != slot {
            return None;
        }
        self.header_of(shard, slot, self.header_bytes(shard, slot)?)
    }

    /// Returns the bytes in the place of a header, unless they cannot be read. They are as new as those of [`Self::header`].
    fn header_bytes(&self, shard: u32, slot: u64) -> Option<[u8; HEADER as usize]> {
        fence(Ordering::Acquire);
        let mut bytes = [0; HEADER as usize];
        self.source.read(self.description.geometry().sub_buffer(shard, slot), &mut bytes).ok()?;
        fence(Ordering::Acquire);
        Some(bytes)
    }

    /// Returns the header in these bytes of a slot, if it is valid there.
    fn header_of(&self, shard: u32, slot: u64, bytes: [u8; HEADER as usize]) -> Option<Header> {
        let header = Header::from_bytes(bytes, &self.description.identity.0)?;
        // The header may have been overwritten between the loads.
        let is_here = self.description.geometry().slot(header.sequence) == slot;
        (header.shard == shard && is_here).then_some(header)
    }

    /// Returns the newest valid header of a shard: of the last opening, the one with the highest sequence number. An earlier
    /// opening can have left a [remainder](Header::is_remainder_before) with a higher one.
    fn newest_header(&self, shard: u32) -> Option<Header> {
        let slots = 0..u64::from(self.description.sub_buffers);
        let headers = slots.filter_map(|slot| self.header(shard, slot));
        headers.max_by_key(|header| (header.generation, header.sequence))
    }

    /// Returns the generation of the newest opening that has a valid header, or 0.
    pub(super) fn newest_generation(&self) -> u64 {
        let slots = 0..u64::from(self.description.sub_buffers);
        let headers = (0..self.description.shards)
            .flat_map(|shard| slots.clone().filter_map(move |slot| self.header(shard, slot)));
        headers.map(|header| header.generation).max().unwrap_or(0)
    }
}
