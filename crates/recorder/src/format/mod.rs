//! The format in `FORMAT.md`.

mod description;
mod geometry;
mod record;
mod sub_buffer;
mod table;

pub use description::Description;
pub(super) use description::Root;
pub(super) use geometry::Geometry;
pub(super) use record::{TAGGED, parts, record_len, tagged};
pub(super) use sub_buffer::Header;
pub(super) use table::{MOST_BYTES, MOST_ENTRIES, Table, bytes_of, entry};

use cachemaint_format::magic::{self, Format};
use cachemaint_format::root;

pub(super) const FORMAT: Format = Format { magic: magic::RECORDING, version: 4, name: "recording" };

pub(super) const PAGE: u64 = root::BLOCK;
/// The place of the texts of events.
const TEXTS: u64 = root::BYTES;
/// The place of the first sub-buffer.
pub(super) const BASE: u64 = TEXTS + PAGE;
/// The longest payload: the field of its length has 16 bits.
pub(super) const LONGEST: usize = u16::MAX as usize;
/// The length of the header of a sub-buffer.
pub(super) const HEADER: u64 = 64;
/// The length of a record without its payload.
pub(super) const RECORD: u64 = 24;

pub(super) const MOST_SHARDS: u32 = 4096;
pub(super) const SMALLEST: u32 = 256;
pub(super) const LARGEST: u32 = 1 << 20;
/// All sequence numbers are below this limit, which keeps positions far below 2^64.
pub(super) const SEQUENCES: u64 = 1 << 40;

/// Returns the place of a sub-buffer as used in the key of a tag: the shard in the 24 highest bits, of which it takes 12,
/// and the sequence number, which is below [`SEQUENCES`].
const fn place(shard: u32, sequence: u64) -> u64 {
    (shard as u64) << 40 | sequence
}
