//! What a format's superblock begins with: which format it is, in which version, and a checksum by which it
//! proves itself. What follows is the format's own, so one has 16 bytes at least.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | version |
//! | 12 | 4 | CRC32C of all but these 4 bytes |

use crate::checksum;
#[cfg(any(feature = "journal", feature = "preserve", test))]
use crate::little_endian::put;
use crate::little_endian::{u32_at, u64_at};

/// What the bytes of a superblock are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    /// One of this version, that proves itself.
    Whole(T),
    /// Another version, whose bytes mean something else.
    Version(u32),
    /// It begins as one, and is none: torn or damaged.
    Damaged,
    /// Something else.
    Other([u8; 8]),
}

/// Reads a superblock. `fields` reads what is the format's own; `None` if that cannot be.
pub(crate) fn read<T>(
    bytes: &[u8],
    magic: [u8; 8],
    version: u32,
    fields: impl FnOnce() -> Option<T>,
) -> Found<T> {
    let (its_magic, its_version) = (u64_at(bytes, 0).to_le_bytes(), u32_at(bytes, 8));
    if its_magic != magic {
        return Found::Other(its_magic);
    }
    if checksum_of(bytes) != u32_at(bytes, 12) {
        return Found::Damaged;
    }
    if its_version != version {
        return Found::Version(its_version);
    }
    fields().map_or(Found::Damaged, Found::Whole)
}

/// Puts what it begins with before what is the format's own.
#[cfg(any(feature = "journal", feature = "preserve", test))]
pub(crate) fn seal(bytes: &mut [u8], magic: [u8; 8], version: u32) {
    put(bytes, 0, &magic);
    put(bytes, 8, &version.to_le_bytes());
    let checksum = checksum_of(bytes);
    put(bytes, 12, &checksum.to_le_bytes());
}

/// Of all but the checksum itself.
fn checksum_of(bytes: &[u8]) -> u32 {
    checksum::append(checksum::append(0, &bytes[..12]), &bytes[16..])
}
