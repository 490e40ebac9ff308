//! The format: what the module's documentation says, and nothing else.

use super::clock::{Clock, TimeSource};
use super::options::Mode;
use crate::format::superblock::{self, Found};
use crate::format::tag;
use core::ops::Range;

pub(super) const PAGE: u64 = 4096;
/// Where the descriptors are.
pub(super) const DESCRIPTORS: [u64; 2] = [0, PAGE];
pub(super) const DESCRIPTOR: usize = 128;
/// The word that has a descriptor's tag.
pub(super) const TAG: u64 = superblock::TAG as u64;
const DESCRIPTOR_MAGIC: [u8; 8] = *b"CMtRace\x1a";
pub(super) const VERSION: u32 = 2;

const LOSSES: u64 = 2 * PAGE;
const LOSS: u64 = 256;

/// The header of a sub-buffer.
pub(super) const HEADER: u64 = 64;
const HEADER_MAGIC: [u8; 4] = *b"CMsb";
/// What a record has before its payload.
pub(super) const RECORD: u64 = 24;

pub(super) const MOST_SHARDS: u32 = 4096;
pub(super) const SMALLEST: u32 = 256;
pub(super) const LARGEST: u32 = 1 << 20;
/// Sequence numbers are smaller, so that positions fit 64 bits with room to spare.
pub(super) const SEQUENCES: u64 = 1 << 40;

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) shards: u32,
    /// Of each shard.
    pub(super) sub_buffers: u32,
    /// Of each sub-buffer, in bytes.
    pub(super) size: u32,
}

impl Geometry {
    /// What is wrong with it, if it is impossible.
    pub(super) fn fault(self) -> Option<&'static str> {
        if self.shards == 0 || self.shards > MOST_SHARDS {
            return Some("the number of shards is not one from 1 to 4096");
        }
        if !self.size.is_power_of_two() || self.size < SMALLEST || self.size > LARGEST {
            return Some("the size of a sub-buffer is no power of two from 256 to 1048576");
        }
        if self.sub_buffers < 2 {
            return Some("a shard has fewer than 2 sub-buffers");
        }
        None
    }

    /// The first sub-buffer.
    const fn base(self) -> u64 {
        (LOSSES + LOSS * self.shards as u64).next_multiple_of(PAGE)
    }

    /// The number of sub-buffers of each shard that fit a medium.
    pub(super) fn fitting(shards: u32, size: u32, len: u64) -> u32 {
        let base = Self { shards, sub_buffers: 0, size }.base();
        let of_each = len.saturating_sub(base) / u64::from(shards.max(1)) / u64::from(size.max(1));
        u32::try_from(of_each).unwrap_or(u32::MAX)
    }

    /// Bytes of a shard's sub-buffers: at most 2^52.
    pub(super) const fn shard_len(self) -> u64 {
        self.sub_buffers as u64 * self.size as u64
    }

    /// Bytes of all. It fits: at most 2^52 × 2^12, less what the checks leave out.
    pub(super) fn len(self) -> Option<u64> {
        self.shard_len().checked_mul(u64::from(self.shards))?.checked_add(self.base())
    }

    pub(super) const fn shard(self, shard: u32) -> u64 {
        self.base() + shard as u64 * self.shard_len()
    }

    pub(super) const fn slot(self, sequence: u64) -> u64 {
        sequence % self.sub_buffers as u64
    }

    pub(super) const fn sub_buffer(self, shard: u32, sequence: u64) -> u64 {
        self.shard(shard) + self.slot(sequence) * self.size as u64
    }

    /// Where the bytes between two positions of a shard are: before the end of the shard, and from its
    /// beginning on. Of what was overwritten since only the last lap.
    pub(super) fn ranges(self, shard: u32, positions: Range<u64>) -> [Range<u64>; 2] {
        let (start, lap) = (self.shard(shard), self.shard_len());
        let from = positions.start.max(positions.end.saturating_sub(lap));
        let len = positions.end.saturating_sub(from);
        let first = from % lap;
        let end = (first + len).min(lap);
        [start + first..start + end, start..start + (first + len - end)]
    }

    /// The word that counts lost events.
    pub(super) const fn loss(shard: u32) -> u64 {
        LOSSES + shard as u64 * LOSS
    }

    /// The longest payload.
    pub(super) const fn largest_payload(self) -> usize {
        let fits = self.size as u64 - HEADER - RECORD;
        if fits > 0xffff { 0xffff } else { fits as usize }
    }
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    pub(super) generation: u64,
    pub(super) identity: [u8; 16],
    pub(super) geometry: Geometry,
    pub(super) mode: Mode,
    pub(super) source: TimeSource,
    pub(super) pace: Pace,
    pub(super) boot_id: [u8; 16],
}

impl Description {
    /// How many times it was opened for recording, the first time included.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The random number by which its records are told from another file's.
    #[must_use]
    pub const fn identity(&self) -> [u8; 16] {
        self.identity
    }

    /// How many threads can record at a time.
    #[must_use]
    pub const fn shards(&self) -> u32 {
        self.geometry.shards
    }

    /// Sub-buffers of each shard.
    #[must_use]
    pub const fn sub_buffers(&self) -> u32 {
        self.geometry.sub_buffers
    }

    /// Bytes of each sub-buffer.
    #[must_use]
    pub const fn sub_buffer_size(&self) -> u32 {
        self.geometry.size
    }

    /// What happens when a shard is full.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Where the timestamps of the last opening come from.
    #[must_use]
    pub const fn time_source(&self) -> TimeSource {
        self.source
    }

    /// Ticks per second of these timestamps.
    #[must_use]
    pub const fn ticks_per_second(&self) -> u64 {
        self.pace.ticks_per_second
    }

    /// A timestamp of the last opening, and the wall clock then in nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn anchor(&self) -> (u64, u64) {
        (self.pace.timestamp, self.pace.wall)
    }

    /// The system's boot id at the last opening, zeros if it had none.
    #[must_use]
    pub const fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    pub(super) fn new(
        generation: u64,
        identity: [u8; 16],
        geometry: Geometry,
        mode: Mode,
        clock: &Clock,
    ) -> Self {
        let (source, pace, boot_id) = (clock.source(), clock.pace(), clock.boot_id());
        Self { generation, identity, geometry, mode, source, pace, boot_id }
    }

    pub(super) fn to_bytes(self) -> [u8; DESCRIPTOR] {
        let mut bytes = Fields([0; DESCRIPTOR]);
        bytes.put(12, 128_u32.to_le_bytes());
        bytes.put(24, self.generation.to_le_bytes());
        bytes.put(32, self.identity);
        bytes.put(48, self.geometry.shards.to_le_bytes());
        bytes.put(52, self.geometry.sub_buffers.to_le_bytes());
        bytes.put(56, self.geometry.size.to_le_bytes());
        bytes.put(60, self.mode.to_number().to_le_bytes());
        bytes.put(64, self.source.to_number().to_le_bytes());
        bytes.put(72, self.pace.ticks_per_second.to_le_bytes());
        bytes.put(80, self.pace.timestamp.to_le_bytes());
        bytes.put(88, self.pace.wall.to_le_bytes());
        bytes.put(96, self.boot_id);
        superblock::seal(&mut bytes.0, DESCRIPTOR_MAGIC, VERSION);
        bytes.0
    }

    pub(super) fn from_bytes(bytes: &[u8; DESCRIPTOR]) -> Result<Self, BadDescriptor> {
        match superblock::read(bytes, DESCRIPTOR_MAGIC, VERSION, || Some(Fields(*bytes))) {
            Found::Whole(fields) => Self::from_fields(&fields),
            Found::Version(version) => Err(BadDescriptor::Version(version)),
            Found::Damaged => Err(BadDescriptor::Damaged),
            Found::Other(magic) => Err(BadDescriptor::Magic(magic)),
        }
    }

    fn from_fields(bytes: &Fields<DESCRIPTOR>) -> Result<Self, BadDescriptor> {
        let geometry = Geometry {
            shards: bytes.number(48),
            sub_buffers: bytes.number(52),
            size: bytes.number(56),
        };
        let fault = geometry.fault().map_or(Ok(()), |fault| Err(BadDescriptor::Impossible(fault)));
        fault?;
        let unknown = BadDescriptor::Impossible;
        let pace = Pace {
            ticks_per_second: bytes.word(72),
            timestamp: bytes.word(80),
            wall: bytes.word(88),
        };
        if bytes.number(12) != 128 {
            return Err(unknown("the length of the descriptor is not 128"));
        }
        if pace.ticks_per_second == 0 {
            return Err(unknown("a second has no ticks"));
        }
        Ok(Self {
            generation: bytes.word(24),
            identity: bytes.take(32),
            geometry,
            mode: Mode::from_number(bytes.number(60)).ok_or(unknown("the mode is unknown"))?,
            source: TimeSource::from_number(bytes.number(64))
                .ok_or(unknown("the source of timestamps is unknown"))?,
            pace,
            boot_id: bytes.take(96),
        })
    }

    /// The word that says that so many events were lost.
    pub(super) fn loss_word(&self, shard: u32, lost: u64) -> u64 {
        let count = u32::try_from(lost).unwrap_or(u32::MAX);
        u64::from(count) | self.loss_tag(shard, count) << 32
    }

    /// How many events were lost, if the word proves itself.
    pub(super) fn lost(&self, shard: u32, word: u64) -> Option<u64> {
        let (count, tag) = (word as u32, word >> 32);
        (tag == self.loss_tag(shard, count) & 0xffff_ffff).then_some(u64::from(count))
    }

    fn loss_tag(&self, shard: u32, count: u32) -> u64 {
        let mut bytes = Fields([0; 24]);
        bytes.put(0, self.identity);
        bytes.put(16, shard.to_le_bytes());
        bytes.put(20, count.to_le_bytes());
        tag::of(0, &bytes.0)
    }

    /// The key of the tags of a sub-buffer's records.
    pub(super) fn key(&self, shard: u32, generation: u64, sequence: u64) -> u64 {
        let mut bytes = Fields([0; 36]);
        bytes.put(0, self.identity);
        bytes.put(16, generation.to_le_bytes());
        bytes.put(24, sequence.to_le_bytes());
        bytes.put(32, shard.to_le_bytes());
        tag::of(0, &bytes.0)
    }
}

/// Why a descriptor is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BadDescriptor {
    Magic([u8; 8]),
    Damaged,
    Impossible(&'static str),
    Version(u32),
}

impl BadDescriptor {
    /// True if the version is newer than this crate's.
    pub(super) const fn is_newer(&self) -> bool {
        matches!(self, Self::Version(version) if *version > VERSION)
    }
}

/// How timestamps go with the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Not 0.
    pub(super) ticks_per_second: u64,
    pub(super) timestamp: u64,
    /// The wall clock at that timestamp, 0 if it is not known.
    pub(super) wall: u64,
}

impl Pace {
    const SECOND: u64 = 1_000_000_000;

    /// The wall clock at a timestamp; if it is not known, the nanoseconds since the anchor.
    #[inline]
    pub(super) fn wall_at(&self, timestamp: u64) -> u64 {
        match timestamp.checked_sub(self.timestamp) {
            Some(ticks) => self.wall.saturating_add(self.nanoseconds(ticks)),
            None => self.wall.saturating_sub(self.nanoseconds(self.timestamp - timestamp)),
        }
    }

    fn nanoseconds(&self, ticks: u64) -> u64 {
        if let Some(product) = ticks.checked_mul(Self::SECOND) {
            return product / self.ticks_per_second;
        }
        let product = u128::from(ticks) * u128::from(Self::SECOND);
        u64::try_from(product / u128::from(self.ticks_per_second)).unwrap_or(u64::MAX)
    }
}

/// The header of a sub-buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) shard: u32,
    pub(super) sequence: u64,
    pub(super) pace: Pace,
    /// Events that the shard had lost before.
    pub(super) lost: u64,
    pub(super) generation: u64,
    /// Where the records of the one before ended; 0 if there was none.
    pub(super) end_before: u32,
}

impl Header {
    pub(super) fn to_bytes(self, identity: &[u8; 16]) -> [u8; HEADER as usize] {
        let mut bytes = Fields([0; HEADER as usize]);
        bytes.put(0, HEADER_MAGIC);
        bytes.put(4, self.shard.to_le_bytes());
        bytes.put(8, self.second_word().to_le_bytes());
        bytes.put(16, self.pace.timestamp.to_le_bytes());
        bytes.put(24, self.pace.wall.to_le_bytes());
        bytes.put(32, self.pace.ticks_per_second.to_le_bytes());
        bytes.put(40, self.lost.to_le_bytes());
        bytes.put(48, self.generation.to_le_bytes());
        let tag = tag::of(tag::of(0, identity), &bytes.0[..56]);
        bytes.put(56, tag.to_le_bytes());
        bytes.0
    }

    /// Sequence number and end of the one before.
    const fn second_word(&self) -> u64 {
        self.sequence | (self.end_before as u64) << 40
    }

    /// The sequence number of a second word.
    pub(super) const fn sequence_of(second_word: u64) -> u64 {
        second_word & (SEQUENCES - 1)
    }

    /// The first word of a shard's headers.
    pub(super) fn first_word(shard: u32) -> u64 {
        u64::from(u32::from_le_bytes(HEADER_MAGIC)) | u64::from(shard) << 32
    }

    /// The header, if the bytes prove that they are one.
    pub(super) fn from_bytes(bytes: [u8; HEADER as usize], identity: &[u8; 16]) -> Option<Self> {
        let bytes = Fields(bytes);
        let tag = tag::of(tag::of(0, identity), &bytes.0[..56]);
        let header = Self {
            shard: bytes.number(4),
            sequence: Self::sequence_of(bytes.word(8)),
            pace: Pace {
                timestamp: bytes.word(16),
                wall: bytes.word(24),
                ticks_per_second: bytes.word(32),
            },
            lost: bytes.word(40),
            generation: bytes.word(48),
            end_before: (bytes.word(8) >> 40) as u32,
        };
        let is_one = tag == bytes.word(56)
            && bytes.take(0) == HEADER_MAGIC
            && header.pace.ticks_per_second > 0;
        is_one.then_some(header)
    }
}

/// The words of a record between its tag and its payload: id, length and offset; timestamp.
#[inline]
pub(super) fn tagged(offset: u32, id: u16, len: u16, timestamp: u64) -> [u8; TAGGED] {
    let mut bytes = [0; TAGGED];
    let first = u64::from(id) | u64::from(len) << 16 | u64::from(offset) << 32;
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&timestamp.to_le_bytes());
    bytes
}

/// Bytes of a record between its tag and its payload.
pub(super) const TAGGED: usize = RECORD as usize - 8;

/// Id, length and offset of the word behind the tag.
#[inline]
pub(super) const fn parts(word: u64) -> (u16, u16, u64) {
    (word as u16, (word >> 16) as u16, word >> 32)
}

/// Bytes of a record with such a payload.
#[inline]
pub(super) const fn record_len(payload: usize) -> u64 {
    RECORD + (payload as u64).next_multiple_of(8)
}

/// Bytes with numbers at known places.
struct Fields<const LEN: usize>([u8; LEN]);

impl<const LEN: usize> Fields<LEN> {
    fn put<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&value);
    }

    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut value = [0; N];
        value.copy_from_slice(&self.0[at..at + N]);
        value
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.take(at))
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.take(at))
    }
}
