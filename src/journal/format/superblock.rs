//! The bytes of a superblock.

use super::geometry::Geometry;
use super::record::Epoch;
use crate::format::identity::Identity;
use crate::format::layout::{Layout as _, layout};
use crate::format::magic::{self, Magic};
use crate::format::superblock;

/// Bytes of a superblock.
pub(in crate::journal) const BYTES: usize = 128;
/// The first bytes of a superblock.
pub(in crate::journal) const MAGIC: Magic = magic::JOURNAL;
/// The version of the format.
pub(in crate::journal) const VERSION: u32 = 3;

/// The bit of the acknowledged position that is set while a repair is under way.
const UNDER_REPAIR: u64 = 1;

layout! {
    struct Fields: 128 {
        /// Magic, version and tag.
        0 beginning: [u8; 24],
        24 identity: [u8; 16],
        40 capacity: u64,
        48 window: u64,
        56 segment: u32,
        60 alignment: u32,
        64 generation: u64,
        72 head: u64,
        80 head_epoch: u64,
        88 head_key: u64,
        96 epoch: u64,
        104 key: u64,
        112 epoch_start: u64,
        /// With [`UNDER_REPAIR`], a bit that no position has.
        120 acknowledged: u64,
    }
}

/// The state of a journal apart from its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Superblock {
    pub(in crate::journal) identity: Identity,
    pub(in crate::journal) geometry: Geometry,
    /// The number of superblocks written so far. Of the two, the one with the higher generation holds.
    pub(in crate::journal) generation: u64,
    /// The position of the oldest record that was not trimmed.
    pub(in crate::journal) head: u64,
    /// The epoch of the head.
    pub(in crate::journal) head_epoch: Epoch,
    /// The last epoch, in which records are appended.
    pub(in crate::journal) epoch: Epoch,
    /// The position at which the last epoch begins.
    pub(in crate::journal) epoch_start: u64,
    /// The position before which everything was acknowledged when the superblock was written.
    pub(in crate::journal) acknowledged: u64,
    /// True from the beginning of a repair to its end.
    pub(in crate::journal) is_under_repair: bool,
}

/// The meaning of the bytes at the place of a superblock.
pub(in crate::journal) type Found = superblock::Found<Superblock>;

impl Superblock {
    pub(in crate::journal) fn bytes(&self) -> [u8; BYTES] {
        let Self { identity, geometry, head_epoch, epoch, .. } = *self;
        let fields = Fields {
            beginning: [0; 24],
            identity: identity.0,
            capacity: geometry.capacity,
            window: geometry.window,
            // Both have been checked to fit.
            segment: geometry.segment as u32,
            alignment: geometry.alignment as u32,
            generation: self.generation,
            head: self.head,
            head_epoch: head_epoch.number,
            head_key: head_epoch.key,
            epoch: epoch.number,
            key: epoch.key,
            epoch_start: self.epoch_start,
            acknowledged: self.acknowledged | if self.is_under_repair { UNDER_REPAIR } else { 0 },
        };
        let mut bytes = fields.to_bytes();
        superblock::seal(&mut bytes, MAGIC, VERSION);
        bytes
    }

    pub(in crate::journal) fn read(bytes: &[u8; BYTES]) -> Found {
        superblock::read(bytes, MAGIC, VERSION, || Self::of(Fields::from_bytes(bytes)))
    }

    /// Returns the superblock of these fields, or `None` if they are inconsistent.
    fn of(fields: Fields) -> Option<Self> {
        let Fields { capacity, window, segment, alignment, .. } = fields;
        let (segment, alignment) = (segment.into(), alignment.into());
        let found = Self {
            identity: Identity(fields.identity),
            geometry: Geometry { segment, capacity, alignment, window }.checked()?,
            generation: fields.generation,
            head: fields.head,
            head_epoch: Epoch { number: fields.head_epoch, key: fields.head_key },
            epoch: Epoch { number: fields.epoch, key: fields.key },
            epoch_start: fields.epoch_start,
            acknowledged: fields.acknowledged & !UNDER_REPAIR,
            is_under_repair: fields.acknowledged & UNDER_REPAIR != 0,
        };
        found.checked()
    }

    /// Returns true if this superblock was stored after another one of its journal. An opening after damage to the newer
    /// superblock counts its generation on from the older one, and a repair without superblocks begins again. The numbers
    /// of epochs rise all the same, unless the newest marks are lost, too. Two openings have one number if the superblock
    /// of the first one was lost, and differ in the key.
    pub(in crate::journal) const fn is_after(&self, other: &Self) -> bool {
        let (epoch, before) = (self.epoch, other.epoch);
        if epoch.number != before.number {
            return epoch.number > before.number;
        }
        epoch.key != before.key || self.generation > other.generation
    }

    /// Returns true if both are the same superblock of their journal.
    pub(in crate::journal) fn is_same(&self, other: &Self) -> bool {
        (self.epoch, self.generation) == (other.epoch, other.generation)
    }

    /// Returns `self`, or `None` if its numbers are inconsistent or exhausted.
    pub(in crate::journal) fn checked(self) -> Option<Self> {
        self.is_consistent().then_some(self)
    }

    /// Returns true if a repair has rebuilt this superblock and did not end. The start of the last epoch is not known then.
    /// An epoch never begins at the limit, and this value refuses no record for being of an earlier epoch.
    pub(in crate::journal) const fn is_rebuilt(&self) -> bool {
        self.epoch_start == self.geometry.limit(self.head)
    }

    /// Returns true if the numbers are possible. A tag can match by accident, and arithmetic on the numbers must
    /// neither overflow nor loop for ever.
    fn is_consistent(&self) -> bool {
        let Self { geometry, head, epoch_start, acknowledged, generation, .. } = *self;
        geometry.is_aligned(head)
            && geometry.is_aligned(epoch_start)
            && [head, generation, self.epoch.number].into_iter().all(is_count)
            // Appending does not check this: it stays within the limit.
            && is_count(geometry.limit(head))
            && epoch_start.max(acknowledged) <= geometry.limit(head)
            && self.head_epoch.number <= self.epoch.number
    }
}

/// Returns true if a number is below 2^63. A mark cannot have a higher position.
fn is_count(number: u64) -> bool {
    i64::try_from(number).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Found, Superblock};
    use crate::format::identity::Identity;
    use crate::journal::format::geometry::Geometry;
    use crate::journal::format::record::Epoch;

    const EPOCH: Epoch = Epoch { number: 1, key: 0 };
    const FIRST: Superblock = Superblock {
        identity: Identity([7; 16]),
        geometry: Geometry { capacity: 1024, window: 512, segment: 256, alignment: 8 },
        generation: 1,
        head: 0,
        head_epoch: EPOCH,
        epoch: EPOCH,
        epoch_start: 0,
        acknowledged: 0,
        is_under_repair: false,
    };

    /// After such a superblock, an opening or a trim would have no number left.
    #[test]
    fn numbers_that_cannot_be_counted_to_are_damage() {
        assert_eq!(Superblock::read(&FIRST.bytes()), Found::Whole(FIRST));
        let last = Epoch { number: u64::MAX, key: 0 };
        for worn in [
            Superblock { generation: u64::MAX, ..FIRST },
            Superblock { epoch: last, ..FIRST },
            Superblock { head: 0_u64.wrapping_sub(256), ..FIRST },
            Superblock { head: (1 << 63) - 1024, ..FIRST },
        ] {
            assert_eq!(Superblock::read(&worn.bytes()), Found::Damaged, "{worn:?}");
        }
    }
}
