//! The bytes of a superblock.

use super::geometry::Geometry;
use super::record::Epoch;
use super::{put, u32_at, u64_at};
use crate::format::superblock;
use crate::journal::Identity;

/// Bytes of a superblock.
pub(in crate::journal) const BYTES: usize = 128;
/// What it begins with.
pub(in crate::journal) const MAGIC: [u8; 8] = *b"cmjournl";
/// The version of the format.
pub(in crate::journal) const VERSION: u32 = 3;

/// What is known of a journal beside its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Superblock {
    pub(in crate::journal) identity: Identity,
    pub(in crate::journal) geometry: Geometry,
    /// How often a superblock was written; the higher one of the two holds.
    pub(in crate::journal) generation: u64,
    /// The oldest record that is still wanted.
    pub(in crate::journal) head: u64,
    /// The epoch in which it was written.
    pub(in crate::journal) head_epoch: Epoch,
    /// The epoch that records are appended in.
    pub(in crate::journal) epoch: Epoch,
    /// Where it begins.
    pub(in crate::journal) epoch_start: u64,
    /// Everything before was acknowledged when this was written.
    pub(in crate::journal) acknowledged: u64,
}

/// What the bytes of a superblock are.
pub(in crate::journal) type Found = superblock::Found<Superblock>;

impl Superblock {
    pub(in crate::journal) fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let Self { identity, geometry, generation, head, head_epoch, epoch, .. } = *self;
        put(&mut bytes, 24, &identity.0);
        put(&mut bytes, 40, &geometry.capacity.to_le_bytes());
        put(&mut bytes, 48, &geometry.window.to_le_bytes());
        // Both have been checked to fit.
        put(&mut bytes, 56, &(geometry.segment as u32).to_le_bytes());
        put(&mut bytes, 60, &(geometry.alignment as u32).to_le_bytes());
        put(&mut bytes, 64, &generation.to_le_bytes());
        put(&mut bytes, 72, &head.to_le_bytes());
        put(&mut bytes, 80, &head_epoch.number.to_le_bytes());
        put(&mut bytes, 88, &head_epoch.key.to_le_bytes());
        put(&mut bytes, 96, &epoch.number.to_le_bytes());
        put(&mut bytes, 104, &epoch.key.to_le_bytes());
        put(&mut bytes, 112, &self.epoch_start.to_le_bytes());
        put(&mut bytes, 120, &self.acknowledged.to_le_bytes());
        superblock::seal(&mut bytes, MAGIC, VERSION);
        bytes
    }

    pub(in crate::journal) fn read(bytes: &[u8; BYTES]) -> Found {
        superblock::read(bytes, MAGIC, VERSION, || Self::fields(bytes))
    }

    /// The fields; `None` if it cannot be.
    fn fields(bytes: &[u8; BYTES]) -> Option<Self> {
        let geometry = Geometry {
            capacity: u64_at(bytes, 40),
            window: u64_at(bytes, 48),
            segment: u32_at(bytes, 56).into(),
            alignment: u32_at(bytes, 60).into(),
        };
        let mut identity = [0; 16];
        identity.copy_from_slice(&bytes[24..40]);
        let found = Self {
            identity: Identity(identity),
            geometry,
            generation: u64_at(bytes, 64),
            head: u64_at(bytes, 72),
            head_epoch: Epoch { number: u64_at(bytes, 80), key: u64_at(bytes, 88) },
            epoch: Epoch { number: u64_at(bytes, 96), key: u64_at(bytes, 104) },
            epoch_start: u64_at(bytes, 112),
            acknowledged: u64_at(bytes, 120),
        };
        geometry.checked().and_then(|_| found.checked())
    }

    /// It, if its numbers can be; `None` if they have been counted too far.
    pub(in crate::journal) fn checked(self) -> Option<Self> {
        self.is_consistent().then_some(self)
    }

    /// True if its numbers are possible. A tag can be right by accident, and arithmetic on the numbers must neither
    /// overflow nor loop for ever.
    fn is_consistent(&self) -> bool {
        let Self { geometry, head, epoch_start, acknowledged, generation, .. } = *self;
        geometry.is_aligned(head)
            && geometry.is_aligned(epoch_start)
            && [head, generation, self.epoch.number].iter().all(|it| i64::try_from(*it).is_ok())
            && epoch_start.max(acknowledged) <= geometry.limit(head)
            && self.head_epoch.number <= self.epoch.number
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Superblock};
    use crate::journal::Identity;
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
    };

    /// The next one would have none of these numbers left.
    #[test]
    fn numbers_that_cannot_be_counted_to_are_damage() {
        assert_eq!(Superblock::read(&FIRST.bytes()), Found::Whole(FIRST));
        let last = Epoch { number: u64::MAX, key: 0 };
        for worn in [
            Superblock { generation: u64::MAX, ..FIRST },
            Superblock { epoch: last, ..FIRST },
            Superblock { head: 0_u64.wrapping_sub(256), ..FIRST },
        ] {
            assert_eq!(Superblock::read(&worn.bytes()), Found::Damaged, "{worn:?}");
        }
    }
}
