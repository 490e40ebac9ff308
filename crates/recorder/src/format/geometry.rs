//! The places of the parts of a file.

use super::{BASE, HEADER, LARGEST, LONGEST, MOST_SHARDS, PAGE, RECORD, SMALLEST};
use core::ops::Range;

/// The default sizes of sub-buffers: the first one of which enough fit.
const DEFAULT_SIZES: [u32; 4] = [64 << 10, 32 << 10, 16 << 10, 8 << 10];
const DEFAULT_LEAST: u32 = 8;

/// The sizes that determine all places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) shards: u32,
    /// Sub-buffers in each shard.
    pub(crate) sub_buffers: u32,
    /// Bytes in each sub-buffer.
    pub(crate) size: u32,
}

impl Geometry {
    /// Returns what makes a geometry impossible.
    pub(crate) fn fault(self) -> Option<&'static str> {
        if self.shards == 0 || self.shards > MOST_SHARDS {
            return Some("the number of shards must be from 1 to 4096");
        }
        if !self.size.is_power_of_two() || self.size < SMALLEST || self.size > LARGEST {
            return Some("the size of a sub-buffer must be a power of two from 256 to 1048576");
        }
        if self.sub_buffers < 2 {
            return Some("a shard needs at least 2 sub-buffers");
        }
        None
    }

    /// Returns the geometry for a medium of `len` bytes, with any sizes that the caller has set.
    pub(crate) fn chosen(
        shards: u32,
        sub_buffers: Option<u32>,
        size: Option<u32>,
        len: u64,
    ) -> Self {
        let least = sub_buffers.unwrap_or(DEFAULT_LEAST);
        let fits = |size: &u32| Self::fitting(shards, *size, len) >= least;
        let size = size.or_else(|| DEFAULT_SIZES.into_iter().find(fits)).unwrap_or(PAGE as u32);
        // A medium without space for two sub-buffers is refused as too small for two.
        let sub_buffers = sub_buffers.unwrap_or_else(|| Self::fitting(shards, size, len).max(2));
        Self { shards, sub_buffers, size }
    }

    /// Returns the number of sub-buffers of each shard that fit into a medium.
    fn fitting(shards: u32, size: u32, len: u64) -> u32 {
        let of_each = len.saturating_sub(BASE) / u64::from(shards.max(1)) / u64::from(size.max(1));
        u32::try_from(of_each).unwrap_or(u32::MAX)
    }

    /// Returns the length of a shard's sub-buffers in bytes: at most 2^52.
    pub(crate) const fn shard_len(self) -> u64 {
        self.sub_buffers as u64 * self.size as u64
    }

    /// Returns the end of a recording that is already in a medium.
    pub(crate) const fn end(self) -> u64 {
        self.shard(self.shards)
    }

    /// Returns the length of the recording in bytes, or `None` if it does not fit into a `u64`: it can be up to 2^52 ×
    /// 2^12.
    pub(crate) fn len(self) -> Option<u64> {
        self.shard_len().checked_mul(u64::from(self.shards))?.checked_add(BASE)
    }

    pub(crate) const fn shard(self, shard: u32) -> u64 {
        BASE + shard as u64 * self.shard_len()
    }

    pub(crate) const fn slot(self, sequence: u64) -> u64 {
        sequence % self.sub_buffers as u64
    }

    pub(crate) const fn sub_buffer(self, shard: u32, sequence: u64) -> u64 {
        self.shard(shard) + self.slot(sequence) * self.size as u64
    }

    /// Returns the places of the bytes between two positions of a shard, in two parts: up to the end of the shard, and
    /// from its beginning. If they exceed one lap, returns the places of the last lap only.
    pub(crate) fn ranges(self, shard: u32, positions: Range<u64>) -> [Range<u64>; 2] {
        let (start, lap) = (self.shard(shard), self.shard_len());
        let from = positions.start.max(positions.end.saturating_sub(lap));
        let len = positions.end.saturating_sub(from);
        let first = from % lap;
        let end = (first + len).min(lap);
        [start + first..start + end, start..start + (first + len - end)]
    }

    /// Returns the length of the longest payload.
    pub(crate) const fn largest_payload(self) -> usize {
        let fits = (self.size as u64 - HEADER - RECORD) as usize;
        if fits > LONGEST { LONGEST } else { fits }
    }
}
