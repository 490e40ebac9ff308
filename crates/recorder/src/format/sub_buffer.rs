//! The header of a sub-buffer.

use super::{HEADER, SEQUENCES, place};
use crate::clock::Pace;
use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::tag::{self, Kind};

layout! {
    /// The header of a sub-buffer.
    #[derive(Debug)]
    pub(in crate) struct Header: 64 {
        0 magic: [u8; 4],
        4 shard: u32,
        /// The sequence number, and from bit 40 on the end of the records of the previous sub-buffer if this opening
        /// wrote it, or 0 if they fill it.
        8 second_word: u64,
        16 timestamp: u64,
        24 wall: u64,
        32 ticks_per_second: u64,
        /// Events that the shard had lost before this sub-buffer.
        40 lost: u64,
        48 generation: u64,
        56 tag: u64,
    }
}

impl Header {
    pub(crate) const MAGIC: [u8; 4] = *b"CMsb";
    /// The offsets of fields.
    pub(crate) const TIMESTAMP: u64 = 16;
    pub(crate) const WALL: u64 = 24;
    pub(crate) const TAG: u64 = HEADER - 8;

    /// Returns the bytes of this header with its tag.
    pub(crate) fn sealed(mut self, identity: Identity) -> [u8; HEADER as usize] {
        self.tag = self.right_tag(identity);
        self.to_bytes()
    }

    /// Returns the first word of all headers of a shard.
    pub(crate) fn first_word(shard: u32) -> u64 {
        u64::from(u32::from_le_bytes(Self::MAGIC)) | u64::from(shard) << 32
    }

    /// Returns the header in these bytes, if it is valid.
    pub(crate) fn valid(bytes: &[u8; HEADER as usize], identity: Identity) -> Option<Self> {
        let header = Self::from_bytes(bytes);
        let is_one = header.tag == header.right_tag(identity)
            && header.magic == Self::MAGIC
            && header.ticks_per_second > 0;
        is_one.then_some(header)
    }

    fn right_tag(&self, identity: Identity) -> u64 {
        let place = place(self.shard, self.sequence());
        let key = tag::key(identity, self.generation, place, Kind::SubBuffer);
        tag::of(key, &self.to_bytes()[..Self::TAG as usize])
    }

    pub(crate) const fn sequence(&self) -> u64 {
        self.second_word & (SEQUENCES - 1)
    }

    pub(crate) const fn end_before(&self) -> u64 {
        self.second_word >> 40
    }

    pub(crate) const fn pace(&self) -> Pace {
        let Self { ticks_per_second, timestamp, wall, .. } = *self;
        Pace { ticks_per_second, timestamp, wall }
    }
}
