//! The format that the module's documentation defines.

mod description;
mod geometry;
mod record;
mod sub_buffer;
mod table;

pub use description::Description;
pub(super) use description::{BadDescriptor, DESCRIPTOR, MAGIC, VERSION};
pub(super) use geometry::Geometry;
pub(super) use record::{TAGGED, parts, record_len, tagged};
pub(super) use sub_buffer::Header;
pub(super) use table::{ENTRIES, MOST_ENTRIES, TABLES, Tables, entries_len};

use crate::format::superblock;

pub(super) const PAGE: u64 = 4096;
/// The longest payload: the field of its length has 16 bits.
pub(super) const LONGEST: usize = u16::MAX as usize;
/// The places of the descriptors.
pub(super) const DESCRIPTORS: [u64; 2] = [0, PAGE];
/// The offset of a descriptor's tag.
pub(super) const TAG: u64 = superblock::TAG as u64;
/// The length of the header of a sub-buffer.
pub(super) const HEADER: u64 = 64;
/// The length of a record without its payload.
pub(super) const RECORD: u64 = 24;

pub(super) const MOST_SHARDS: u32 = 4096;
pub(super) const SMALLEST: u32 = 256;
pub(super) const LARGEST: u32 = 1 << 20;
/// The limit of sequence numbers, which are all smaller. With it positions are far below 2^64.
pub(super) const SEQUENCES: u64 = 1 << 40;
