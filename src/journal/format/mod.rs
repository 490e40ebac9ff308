//! Where things are in the medium, and the bytes of each. There is no access to a medium here.

pub(super) mod geometry;
pub(super) mod record;
pub(super) mod superblock;

/// The size of a word in bytes; everything begins at a multiple of it.
pub(super) const WORD: u64 = 8;
