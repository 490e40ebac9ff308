//! Where things are in the medium, and the bytes of each. There is no access to a medium here.

pub(super) mod geometry;
pub(super) mod record;
pub(super) mod superblock;

/// The size of a word in bytes; everything begins at a multiple of it.
pub(super) const WORD: u64 = 8;

/// The 4 bytes at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
}

/// The 8 bytes at `at`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

/// Puts bytes to `at`.
pub(super) fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
