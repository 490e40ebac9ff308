//! The descriptor of a file.

use super::Geometry;
use crate::format::identity::Identity;
use crate::format::layout::{Layout as _, layout};
use crate::format::magic::{self, Magic};
use crate::format::superblock::{self, Found};
use crate::format::tag;
use crate::recorder::clock::{Clock, Pace, TimeSource};
use crate::recorder::mode::Mode;

/// Bytes of a descriptor.
pub(in crate::recorder) const DESCRIPTOR: usize = 128;
pub(in crate::recorder) const MAGIC: Magic = magic::RECORDING;
pub(in crate::recorder) const VERSION: u32 = 2;

/// A file's description of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The number of times that it was opened for recording, including the first time.
    pub generation: u64,
    /// The random number that distinguishes its records from those of another file.
    pub identity: Identity,
    /// The number of threads that can record at a time.
    pub shards: u32,
    /// The number of sub-buffers of each shard.
    pub sub_buffers: u32,
    /// The size of each sub-buffer in bytes.
    pub sub_buffer_size: u32,
    /// The behaviour of a full shard.
    pub mode: Mode,
    /// The source of the timestamps of the last opening.
    pub time_source: TimeSource,
    /// The ticks per second of these timestamps.
    pub ticks_per_second: u64,
    /// A timestamp of the last opening, and the wall clock then in nanoseconds since 1970-01-01 UTC.
    pub anchor: (u64, u64),
    /// The system's boot id at the last opening, or zeros if it was not known.
    pub boot_id: [u8; 16],
    /// The length of the tables of events in its page in bytes; 0 if it has no tables.
    pub(in crate::recorder) tables: u32,
}

impl Description {
    pub(in crate::recorder) fn new(
        generation: u64,
        identity: Identity,
        geometry: Geometry,
        mode: Mode,
        clock: &Clock,
        tables: u32,
    ) -> Self {
        let Geometry { shards, sub_buffers, size: sub_buffer_size } = geometry;
        let Pace { ticks_per_second, timestamp, wall } = clock.pace();
        Self {
            generation,
            identity,
            shards,
            sub_buffers,
            sub_buffer_size,
            mode,
            time_source: clock.source(),
            ticks_per_second,
            anchor: (timestamp, wall),
            boot_id: clock.boot_id(),
            tables,
        }
    }

    #[inline]
    pub(in crate::recorder) const fn geometry(&self) -> Geometry {
        let Self { shards, sub_buffers, sub_buffer_size: size, .. } = *self;
        Geometry { shards, sub_buffers, size }
    }

    pub(in crate::recorder) const fn pace(&self) -> Pace {
        let Self { ticks_per_second, anchor: (timestamp, wall), .. } = *self;
        Pace { ticks_per_second, timestamp, wall }
    }

    pub(in crate::recorder) fn to_bytes(self) -> [u8; DESCRIPTOR] {
        let fields = Fields {
            magic_and_version: [0; 12],
            len: DESCRIPTOR as u32,
            tag: 0,
            generation: self.generation,
            identity: self.identity.0,
            shards: self.shards,
            sub_buffers: self.sub_buffers,
            size: self.sub_buffer_size,
            mode: self.mode.to_number(),
            source: self.time_source.to_number(),
            tables: self.tables,
            ticks_per_second: self.ticks_per_second,
            timestamp: self.anchor.0,
            wall: self.anchor.1,
            boot_id: self.boot_id,
            zeros: [0; 16],
        };
        let mut bytes = fields.to_bytes();
        superblock::seal(&mut bytes, MAGIC, VERSION);
        bytes
    }

    pub(in crate::recorder) fn from_bytes(bytes: &[u8; DESCRIPTOR]) -> Result<Self, BadDescriptor> {
        match superblock::read(bytes, MAGIC, VERSION, || Some(Fields::from_bytes(bytes))) {
            Found::Whole(fields) => Self::of(fields),
            Found::Version(version) => Err(BadDescriptor::Version(version)),
            Found::Damaged => Err(BadDescriptor::Damaged),
            Found::Other(magic) => Err(BadDescriptor::Magic(magic)),
        }
    }

    /// Returns the description of these fields, if they are possible.
    fn of(fields: Fields) -> Result<Self, BadDescriptor> {
        let Fields { shards, sub_buffers, size, ticks_per_second, timestamp, wall, .. } = fields;
        let unknown = BadDescriptor::Impossible;
        let geometry = Geometry { shards, sub_buffers, size };
        geometry.fault().map_or(Ok(()), |fault| Err(unknown(fault)))?;
        if fields.len != DESCRIPTOR as u32 {
            return Err(unknown("the length of the descriptor is not 128"));
        }
        if ticks_per_second == 0 {
            return Err(unknown("a second has no ticks"));
        }
        Ok(Self {
            generation: fields.generation,
            identity: Identity(fields.identity),
            shards,
            sub_buffers,
            sub_buffer_size: size,
            mode: Mode::from_number(fields.mode).ok_or(unknown("the mode is unknown"))?,
            time_source: TimeSource::from_number(fields.source)
                .ok_or(unknown("the source of timestamps is unknown"))?,
            ticks_per_second,
            anchor: (timestamp, wall),
            boot_id: fields.boot_id,
            tables: fields.tables,
        })
    }

    /// Returns the word that states the number of lost events.
    pub(in crate::recorder) fn loss_word(&self, shard: u32, lost: u64) -> u64 {
        let count = u32::try_from(lost).unwrap_or(u32::MAX);
        u64::from(count) | self.loss_tag(shard, count) << 32
    }

    /// Returns the number of lost events, if the word is valid.
    pub(in crate::recorder) fn lost(&self, shard: u32, word: u64) -> Option<u64> {
        let (count, tag) = (word as u32, word >> 32);
        (tag == self.loss_tag(shard, count) & 0xffff_ffff).then_some(u64::from(count))
    }

    fn loss_tag(&self, shard: u32, count: u32) -> u64 {
        tag::of(0, &Loss { identity: self.identity.0, shard, count }.to_bytes())
    }

    /// Returns the key of the tags of a sub-buffer's records.
    pub(in crate::recorder) fn key(&self, shard: u32, generation: u64, sequence: u64) -> u64 {
        let key = Key { identity: self.identity.0, generation, sequence, shard };
        tag::of(0, &key.to_bytes())
    }
}

layout! {
    struct Fields: 128 {
        0 magic_and_version: [u8; 12],
        12 len: u32,
        16 tag: u64,
        24 generation: u64,
        32 identity: [u8; 16],
        48 shards: u32,
        52 sub_buffers: u32,
        /// Of a sub-buffer.
        56 size: u32,
        60 mode: u32,
        64 source: u32,
        68 tables: u32,
        72 ticks_per_second: u64,
        80 timestamp: u64,
        88 wall: u64,
        96 boot_id: [u8; 16],
        112 zeros: [u8; 16],
    }
}

layout! {
    /// The bytes that the tag of a count of lost events covers.
    struct Loss: 24 {
        0 identity: [u8; 16],
        16 shard: u32,
        20 count: u32,
    }
}

layout! {
    /// The bytes whose tag is the key of a sub-buffer's records.
    struct Key: 36 {
        0 identity: [u8; 16],
        16 generation: u64,
        24 sequence: u64,
        32 shard: u32,
    }
}

/// The fault of bytes that are not a valid descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::recorder) enum BadDescriptor {
    Magic([u8; 8]),
    Damaged,
    Impossible(&'static str),
    Version(u32),
}

impl BadDescriptor {
    /// True if the version is newer than this crate's.
    pub(in crate::recorder) const fn is_newer(&self) -> bool {
        matches!(self, Self::Version(version) if *version > VERSION)
    }
}
