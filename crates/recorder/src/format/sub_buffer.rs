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
        8 sequence: u64,
        16 timestamp: u64,
        24 wall: u64,
        32 ticks_per_second: u64,
        /// The end of the records of the previous sub-buffer if this opening wrote it, or 0 if they fill it.
        40 end_before: u64,
        48 generation: u64,
        56 tag: u64,
    }
}

impl Header {
    pub(crate) const MAGIC: [u8; 4] = *b"CMsb";
    /// The offset of the tag.
    pub(crate) const TAG: u64 = HEADER - 8;

    /// Returns the bytes of this header with its tag.
    pub(crate) fn sealed(mut self, identity: Identity) -> [u8; HEADER as usize] {
        self.tag = self.right_tag(identity);
        self.to_bytes()
    }

    /// Returns the header in these bytes, if it is valid.
    pub(crate) fn valid(bytes: &[u8; HEADER as usize], identity: Identity) -> Option<Self> {
        let header = Self::from_bytes(bytes);
        // Most bytes that are not a header have another magic.
        let is_one = header.magic == Self::MAGIC
            && header.sequence < SEQUENCES
            && header.ticks_per_second > 0
            && header.tag == header.right_tag(identity);
        is_one.then_some(header)
    }

    fn right_tag(&self, identity: Identity) -> u64 {
        let place = place(self.shard, self.sequence);
        let key = tag::key(identity, self.generation, place, Kind::SubBuffer);
        tag::of(key, &self.to_bytes()[..Self::TAG as usize])
    }

    pub(crate) const fn pace(&self) -> Pace {
        let Self { ticks_per_second, timestamp, wall, .. } = *self;
        Pace { ticks_per_second, timestamp, wall }
    }
}
