//! The beginning of each format's superblock: the format, its version, and a tag over the rest.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | version |
//! | 12 | 4 | the format's own |
//! | 16 | 8 | tag: XXH3 of all bytes behind it, whose seed is the XXH3, with seed 0, of the 16 bytes before it |
//! | 24 | | the format's own |
//!
//! Magic, version and tag stay where they are in every later version, so that an unknown version is known as such.
//! Version 1 had a CRC32C at offset 12; it is known by its number alone.

use super::layout::{Layout as _, layout};
use super::tag;

/// The offset of the tag.
pub(crate) const TAG: usize = 16;
/// The offset of everything behind the tag.
const REST: usize = TAG + 8;

/// The meaning of a superblock's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    /// A superblock of this version, that proves itself.
    Whole(T),
    /// Another version, whose bytes mean something else.
    Version(u32),
    /// Bytes that begin as a superblock and are invalid: torn or damaged.
    Damaged,
    /// Something else.
    Other([u8; 8]),
}

layout! {
    struct Beginning: 24 {
        0 magic: [u8; 8],
        8 version: u32,
        12 own: u32,
        16 tag: u64,
    }
}

/// Reads a superblock. `fields` reads the format's own fields; `None` if they are invalid.
pub(crate) fn read<T>(
    bytes: &[u8],
    magic: [u8; 8],
    version: u32,
    fields: impl FnOnce() -> Option<T>,
) -> Found<T> {
    let Some(beginning) = bytes.first_chunk().map(Beginning::from_bytes) else {
        return Found::Damaged;
    };
    if beginning.magic != magic {
        return Found::Other(beginning.magic);
    }
    if beginning.version == 1 {
        return Found::Version(1);
    }
    if tag_of(bytes) != beginning.tag {
        return Found::Damaged;
    }
    if beginning.version != version {
        return Found::Version(beginning.version);
    }
    fields().map_or(Found::Damaged, Found::Whole)
}

/// Puts magic, version and tag around the format's own fields.
pub(crate) fn seal(bytes: &mut [u8], magic: [u8; 8], version: u32) {
    bytes[..8].copy_from_slice(&magic);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let tag = tag_of(bytes);
    bytes[TAG..REST].copy_from_slice(&tag.to_le_bytes());
}

/// Returns the tag of all bytes but the tag itself.
fn tag_of(bytes: &[u8]) -> u64 {
    tag::of(tag::of(0, &bytes[..TAG]), &bytes[REST..])
}
