//! Reading of recordings: only headers and records with a valid tag are used.
//!
//! # Work
//! Each byte of a recording is read once or twice: an event of more than 240 bytes is verified again when it is copied.
//! Headers are read a few times more. Bytes without a header, or after damage, are searched for records once for each header that
//! may have been there. If all bytes of the slot are zero, they are read once. For any content of a file, the reads of all
//! bytes together are at most 180 times the size of the file. So the work grows only with this size. Beside a writer that
//! overtakes the reader, a shard may be read up to four times more. The memory is one [`Events`] for each shard.
//!
//! The figure is the sum of these:
//! - A search reads two words at each place: twice the size of the sub-buffer. It ends when twice that size was verified
//!   in vain. The last record may have the whole size, and of a longer record than [`CHUNK`] as many bytes are read
//!   twice: 5.2 times the size. Together a search costs at most 7.2 times the size.
//! - Each of three rounds (the last lap, the one before it, and the next one) searches a slot without a header under nine
//!   headers at most. Nine need a valid header to the right, and other slots have six. So the mean is six at most:
//!   18 × 7.2 = 130 times the size of the file.
//! - The events of a sub-buffer are read once. This is a search, and two more for records of the lap before. Valid
//!   records are read three times. Gaps and records may take turns, with four headers for each: 34 times in all.
//! - The headers of a sub-buffer of 256 bytes, and of those beside it, are read fewer than 31 times: 10 times the size. Of
//!   these, eight are for sub-buffers of older laps. Each of the three rounds looks for zeros: 3 times.

pub(super) mod found;
pub(super) mod merged;
mod newest;
pub(super) mod shard;

use super::format;
use super::format::{
    BadDescriptor, DESCRIPTOR, DESCRIPTORS, Description, Geometry, HEADER, Header, MAGIC, RECORD,
    Tables, record_len,
};
use super::{Error, ErrorKind, EventTable, Events};
use crate::format::{magic, tag};
use crate::medium::{OpenError, Readable};
use crate::sync::fence;
use core::cmp::Reverse;
use core::ops::Range;
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
/// while let Some(found) = events.read_next(&mut buffer) {
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

/// A sub-buffer, and the source of its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubBuffer {
    /// The header of the sub-buffer, or the header that its records prove.
    header: Header,
    /// True if the header is inferred from records.
    is_inferred: bool,
}

impl SubBuffer {
    pub(super) const fn sequence(&self) -> u64 {
        self.header.sequence
    }
}

/// A record with a valid tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    id: u16,
    len: u16,
    timestamp: u64,
}

/// Returns true if a header is not a remainder before the newest one or before that of the last sub-buffer that was read.
const fn counts(header: &Header, newest: &Header, previous: Option<&Header>) -> bool {
    let is_after_previous = match previous {
        Some(previous) => !header.is_remainder_before(previous),
        None => true,
    };
    is_after_previous && !header.is_remainder_before(newest)
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
            return Ok(Err(BadDescriptor::Magic(magic::finished(at, magic))));
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
    /// # Cost
    /// Both pages of descriptors are read, and the headers of sub-buffers if one descriptor is not valid. The value is 8 KiB
    /// large.
    #[must_use]
    pub fn event_table(&self) -> EventTable {
        let identity = self.description.identity;
        let mut pages = DESCRIPTORS.map(|page| {
            let found = Self::descriptor(&self.source, page).ok().and_then(Result::ok);
            (page, found.filter(|found| found.identity == identity))
        });
        // The newest one counts first.
        pages.sort_unstable_by_key(|(_, found)| Reverse(found.map(|found| found.generation)));
        // The tables of a page are lost with its descriptor.
        let mut is_damaged = self.is_descriptor_lost() && self.may_have_had_tables();
        let tables = pages.map(|(page, found)| {
            let found = found.filter(|found| found.tables > 0)?;
            let tables = Tables::read(&self.source, page, found.tables, &identity.0);
            is_damaged |= tables.is_none();
            tables
        });
        EventTable { tables, is_damaged }
    }

    /// Returns true if the descriptor that does not count is torn or damaged, or cannot be read.
    ///
    /// This is normal after a crash in the middle of an opening, which had not recorded events then. The next opening
    /// overwrites that descriptor. Beside a program that opens the recording, it can be half stored for a moment.
    ///
    /// # Cost
    /// Both descriptors are read, and the headers of sub-buffers if one of their pages is empty.
    #[must_use]
    pub fn is_descriptor_lost(&self) -> bool {
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
    #[must_use]
    pub fn lost(&self, shard: u32) -> u64 {
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

    /// Returns the sub-buffer in the slot of a sequence number, by its header or else by the header that its records prove.
    /// `previous` is the header of the sub-buffer that was read before it, if there is one.
    fn sub_buffer(
        &self,
        shard: u32,
        sequence: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> Option<SubBuffer> {
        let with_header = self.with_header(shard, sequence, newest, previous);
        let slot = self.description.geometry().slot(sequence);
        with_header.or_else(|| self.infer(shard, slot, newest, previous))
    }

    /// Returns the sub-buffer in the slot of a sequence number by its header, if that counts.
    fn with_header(
        &self,
        shard: u32,
        sequence: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> Option<SubBuffer> {
        let header = self.header(shard, self.description.geometry().slot(sequence));
        let header = header.filter(|header| counts(header, newest, previous.as_ref()));
        header.map(|header| SubBuffer { header, is_inferred: false })
    }

    /// Infers the header of a slot: the newest candidate under which a record in the slot verifies.
    #[cold]
    fn infer(
        &self,
        shard: u32,
        slot: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> Option<SubBuffer> {
        let geometry = self.description.geometry();
        let start = geometry.sub_buffer(shard, slot);
        // A record has its offset, which is not zero. In the first lap most slots are unused.
        if self.is_zero::<CHUNK>(start..start + u64::from(geometry.size)) {
            return None;
        }
        // Newer candidates come before the candidates that they have overwritten.
        let candidates = self.candidates(shard, slot, newest, previous);
        let header = candidates.into_iter().flatten().find(|header| {
            let key = self.description.key(shard, header.generation, header.sequence);
            self.find(&mut Search::new(geometry, start), HEADER, key).is_some()
        });
        header.map(|header| SubBuffer { header, is_inferred: true })
    }

    /// Returns true if these bytes, a multiple of `LEN`, can be read and are zero.
    fn is_zero<const LEN: usize>(&self, bytes: Range<u64>) -> bool {
        let mut chunk = [0; LEN];
        let mut places = bytes.step_by(LEN);
        places.all(|at| self.source.read(at, &mut chunk).is_ok() && chunk == [0; LEN])
    }

    /// Returns the headers that may have been in a slot. They are of the lap after that of the newest header, of its
    /// own lap and of the lap before, each by the opening of the newest header or of a neighbour. If the header of the left
    /// neighbour is not valid, `previous` is in its place: it may be inferred itself, or be further to the left.
    fn candidates(
        &self,
        shard: u32,
        slot: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> [Option<Header>; 9] {
        let laps = u64::from(self.description.sub_buffers);
        let back = (newest.sequence + laps - slot) % laps;
        let (current, ahead) = match newest.sequence.checked_sub(back) {
            Some(current) => (Some(current), current + laps),
            None => (None, slot),
        };
        let before = current.and_then(|current| current.checked_sub(laps));
        let sequences = [Some(ahead), current, before];
        let beside =
            [self.header(shard, (slot + laps - 1) % laps), self.header(shard, (slot + 1) % laps)];
        let [left, right] = beside;
        let is_new = |header: &Header| header.generation != newest.generation;
        let left = left.or(previous).filter(is_new);
        let right = right
            .filter(is_new)
            .filter(|right| left.is_none_or(|left: Header| left.generation != right.generation));
        let neighbours = [Some(*newest), left, right];
        core::array::from_fn(|place| {
            let (sequence, neighbour) = (sequences[place / 3]?, neighbours[place % 3]?);
            let header = Header { shard, sequence, lost: 0, end_before: 0, ..neighbour };
            counts(&header, newest, previous.as_ref()).then_some(header)
        })
    }

    /// Returns the first record of a sub-buffer at or after an offset that verifies with this key, and its offset.
    pub(super) fn find(&self, search: &mut Search, from: u64, key: u64) -> Option<(u64, Record)> {
        let mut places = (from..=search.size - RECORD).step_by(8);
        places.find_map(|offset| Some((offset, self.record(search, offset, key)?)))
    }

    /// Returns the record at an offset of a sub-buffer, if it verifies with this key.
    pub(super) fn record(&self, search: &mut Search, offset: u64, key: u64) -> Option<Record> {
        let at = search.start + offset;
        let tag = self.source.load(at, Ordering::Acquire);
        let word = self.source.load(at + 8, Ordering::Relaxed);
        let (id, len, named) = format::parts(word);
        let end = offset + record_len(usize::from(len));
        if named != offset || end > search.size || search.patience == 0 {
            return None;
        }
        match self.proved(at + 8..search.start + end, tag, key, &mut search.chunk) {
            // The word was read again with the bytes, and the tag is that of the second reading.
            Some(timestamp) if search.chunk[..8] == word.to_le_bytes() => {
                Some(Record { id, len, timestamp })
            }
            _ => {
                search.spend(end - offset);
                None
            }
        }
    }

    /// Returns the timestamp of a record, if the tag is that of these bytes, which are all bytes of the record after it.
    /// The chunk has the first of them then.
    fn proved(
        &self,
        bytes: Range<u64>,
        tag: u64,
        key: u64,
        chunk: &mut [u8; CHUNK],
    ) -> Option<u64> {
        let (from, len_in_all) = (bytes.start, (bytes.end - bytes.start) as usize);
        let first = &mut chunk[..len_in_all.min(CHUNK)];
        self.source.read(from, first).ok()?;
        let timestamp = u64::from_le_bytes(*first[8..].first_chunk()?);
        let found = if len_in_all <= CHUNK {
            tag::of(key, first)
        } else {
            self.long_tag(from, len_in_all, key)?
        };
        (found == tag).then_some(timestamp)
    }

    /// Returns the tag of more bytes than are read at a time.
    fn long_tag(&self, from: u64, len: usize, key: u64) -> Option<u64> {
        let (mut tag, mut bytes) = (tag::Running::new(key), [0; CHUNK]);
        for done in (0..len).step_by(CHUNK) {
            let piece = &mut bytes[..CHUNK.min(len - done)];
            self.source.read(from + done as u64, piece).ok()?;
            tag.append(piece);
        }
        Some(tag.finish())
    }
}

/// The number of times that the bytes of a sub-buffer may be verified in vain. Records with another key that fill the
/// sub-buffer need this once. Only crafted bytes need more: places that each begin a record, one inside another.
const PATIENCE: u64 = 2;

/// A search for records in a sub-buffer, whose work is bounded for any bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// The offset of the sub-buffer.
    start: u64,
    size: u64,
    /// The number of bytes that may still be verified in vain.
    patience: u64,
    /// The first bytes after the tag of the record that was verified last: all of them, if it is short.
    chunk: [u8; CHUNK],
}

impl Search {
    pub(super) const fn new(geometry: Geometry, start: u64) -> Self {
        let size = geometry.size as u64;
        Self { start, size, patience: PATIENCE * size, chunk: [0; CHUNK] }
    }

    /// Notes that `len` bytes were verified in vain.
    pub(super) const fn spend(&mut self, len: u64) {
        self.patience = self.patience.saturating_sub(len);
    }
}

/// The number of bytes that are read at a time to verify them.
const CHUNK: usize = 256;
