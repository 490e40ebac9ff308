//! The layout of a journal in its medium, and the bytes of each part. This module does not access a medium.

pub(super) mod geometry;
pub(super) mod record;
pub(super) mod superblock;

/// The size of a word in bytes; everything begins at a multiple of it.
pub(super) const WORD: u64 = 8;
