//! The words of a record before its payload.

use super::RECORD;

/// Returns the words of a record between its tag and its payload: id, length and offset, then the timestamp. Each field
/// has all bits of its type.
#[inline]
pub(crate) fn tagged(offset: u32, id: u16, len: u16, timestamp: u64) -> [u8; TAGGED] {
    let mut bytes = [0; TAGGED];
    let first = u64::from(id) | u64::from(len) << 16 | u64::from(offset) << 32;
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&timestamp.to_le_bytes());
    bytes
}

/// Bytes of a record between its tag and its payload.
pub(crate) const TAGGED: usize = RECORD as usize - 8;

/// Returns the id, the length and the offset in the word after the tag.
#[inline]
pub(crate) const fn parts(word: u64) -> (u16, u16, u64) {
    (word as u16, (word >> 16) as u16, word >> 32)
}

/// Returns the length of a record with a payload of this length.
#[inline]
pub(crate) const fn record_len(payload: usize) -> u64 {
    RECORD + (payload as u64).next_multiple_of(8)
}
