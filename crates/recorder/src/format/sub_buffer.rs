//! The header of a sub-buffer.

use super::{HEADER, SEQUENCES, place};
use crate::clock::Pace;
use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::tag::{self, Kind};

const MAGIC: [u8; 4] = *b"CMsb";

/// The header of a sub-buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) shard: u32,
    pub(crate) sequence: u64,
    pub(crate) pace: Pace,
    /// Events that the shard had lost before.
    pub(crate) lost: u64,
    pub(crate) generation: u64,
    /// The end of the records of the previous sub-buffer if this opening wrote that; 0 if they fill it.
    pub(crate) end_before: u32,
}

impl Header {
    pub(crate) fn to_bytes(self, identity: Identity) -> [u8; HEADER as usize] {
        let mut fields = Fields {
            magic: MAGIC,
            shard: self.shard,
            second_word: self.second_word(),
            timestamp: self.pace.timestamp,
            wall: self.pace.wall,
            ticks_per_second: self.pace.ticks_per_second,
            lost: self.lost,
            generation: self.generation,
            tag: 0,
        };
        fields.tag = self.tag(&fields.to_bytes(), identity);
        fields.to_bytes()
    }

    /// Returns the sequence number and the end of the previous sub-buffer in one word.
    const fn second_word(&self) -> u64 {
        self.sequence | (self.end_before as u64) << 40
    }

    /// Returns the sequence number in a second word.
    pub(crate) const fn sequence_of(second_word: u64) -> u64 {
        second_word & (SEQUENCES - 1)
    }

    /// Returns the first word of a shard's headers.
    pub(crate) fn first_word(shard: u32) -> u64 {
        u64::from(u32::from_le_bytes(MAGIC)) | u64::from(shard) << 32
    }

    /// Returns the header in these bytes, if it is valid.
    pub(crate) fn from_bytes(bytes: [u8; HEADER as usize], identity: Identity) -> Option<Self> {
        let fields = Fields::from_bytes(&bytes);
        let Fields { timestamp, wall, ticks_per_second, .. } = fields;
        let header = Self {
            shard: fields.shard,
            sequence: Self::sequence_of(fields.second_word),
            pace: Pace { ticks_per_second, timestamp, wall },
            lost: fields.lost,
            generation: fields.generation,
            end_before: (fields.second_word >> 40) as u32,
        };
        let is_one = header.tag(&bytes, identity) == fields.tag
            && fields.magic == MAGIC
            && ticks_per_second > 0;
        is_one.then_some(header)
    }

    /// Returns the tag of the bytes of this header before the tag.
    fn tag(&self, bytes: &[u8; HEADER as usize], identity: Identity) -> u64 {
        let place = place(self.shard, self.sequence);
        tag::of(tag::key(identity, self.generation, place, Kind::SubBuffer), &bytes[..56])
    }
}

layout! {
    struct Fields: 64 {
        0 magic: [u8; 4],
        4 shard: u32,
        /// The sequence number and the end of the previous sub-buffer.
        8 second_word: u64,
        16 timestamp: u64,
        24 wall: u64,
        32 ticks_per_second: u64,
        40 lost: u64,
        48 generation: u64,
        56 tag: u64,
    }
}
