//! The layout of a store in its medium, and the encoding of each part. This module does not access a medium.

pub(crate) mod entry;
pub(crate) mod record;

use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::magic::{self, Format};
use cachemaint_format::root;
use cachemaint_format::tag::{self, Kind};
use core::ops::{Range, RangeInclusive};

/// The format of a store.
pub(crate) const FORMAT: Format = Format { magic: magic::STORE, version: VERSION, name: "store" };
/// The version of the format.
pub(crate) const VERSION: u32 = 8;
/// The size of a word in bytes. Everything begins and ends at a multiple of it.
pub(crate) const WORD: u64 = 8;
/// Each record of a log fills whole lines of this size.
pub(crate) const LINE: u64 = 64;
/// The minimum alignment of a region, and of a mirror of the log: a block, which a drive may lose as a whole.
pub(crate) const PAGE: u64 = root::BLOCK;
/// True for this project's fuzz targets. With small chunks they reach stores with several chunks sooner. This is
/// another format, which only their own flag turns on.
const IS_SMALL: bool = cfg!(cachemaint_small_chunks);
/// Bytes of a blob with their own tag.
pub(crate) const CHUNK: u64 = if IS_SMALL { 1 << 12 } else { 1 << 16 };
/// Bytes of a tag.
pub(crate) const TAG: u64 = 8;
/// The permitted sizes of a unit in bytes.
pub(crate) const UNIT: RangeInclusive<u64> = LINE..=1 << 30;
/// The maximum length of a name in bytes.
pub(crate) const NAME: usize = if IS_SMALL { 64 } else { 255 };
/// The maximum length of metadata in bytes.
pub(crate) const METADATA: usize = if IS_SMALL { 64 } else { 4096 };
/// The maximum length in bytes of a value, which is stored in a record.
pub(crate) const VALUE: u64 = 256;
/// The minimum size of a log's mirror in bytes.
pub(crate) const CAPACITY: u64 = 4096;

/// Returns true if a number of bytes is a permitted size of a unit.
pub(crate) fn is_unit(bytes: u64) -> bool {
    UNIT.contains(&bytes) && bytes.is_power_of_two()
}

/// Returns the offset at which space for logs, blobs and regions begins.
pub(crate) const fn data(unit: u64) -> u64 {
    root::BYTES.next_multiple_of(unit)
}

/// Returns the minimum capacity of a log with `live` bytes of entries: room for the base, their compaction, and any one
/// record, which may delete all of them.
pub(crate) const fn needed(live: u64) -> u64 {
    let needed = LINE + compacted(live) + record::in_lines(live);
    if needed < CAPACITY { CAPACITY } else { needed.next_multiple_of(PAGE) }
}

/// Returns the maximum size of the snapshots of `live` bytes of entries after a compaction. Two consecutive records
/// have more than 4056 bytes of entries.
pub(crate) const fn compacted(live: u64) -> u64 {
    let records = live / 2028 + 1;
    live + records * (record::HEAD as u64 + LINE)
}

/// Returns the number of chunks of a blob of `len` bytes.
pub(crate) const fn chunks(len: u64) -> u64 {
    len.div_ceil(CHUNK)
}

/// Returns the range of a blob's list of tags, relative to the start of the blob. It is empty if the blob has only one
/// chunk: the entry then stores its tag.
pub(crate) const fn tags(len: u64) -> Range<u64> {
    if chunks(len) < 2 {
        return len..len;
    }
    let at = len.next_multiple_of(WORD);
    at..at + chunks(len) * TAG
}

/// The key of a blob outside the log. It does not include the name, since renaming a blob does not rewrite it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlobKey {
    pub(crate) identity: Identity,
    pub(crate) commit: u64,
    /// The offset of the blob.
    pub(crate) at: u64,
}

impl BlobKey {
    /// Returns the key of a chunk.
    pub(crate) fn chunk(&self, number: u64) -> u64 {
        tag::key(self.identity, self.commit, self.at + number * CHUNK, Kind::Chunk)
    }

    /// Returns the key of the list of tags.
    pub(crate) fn tags(&self) -> u64 {
        tag::key(self.identity, self.commit, self.at, Kind::Tags)
    }
}

/// The places of the log, as stored in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Bytes of a unit.
    pub(crate) unit: u64,
    /// Bytes of a mirror.
    pub(crate) capacity: u64,
    /// Both mirrors of the area in use.
    pub(crate) current: [u64; 2],
    /// Both mirrors of the other area.
    pub(crate) other: [u64; 2],
    /// The epoch of the log.
    pub(crate) salt: u64,
    /// The end of the records with which the log begins: all of them were durable before the root.
    pub(crate) end: u64,
}

/// The store's own bytes in a root.
pub(crate) const ROOT: usize = 64;

/// The root of a store.
pub(crate) type Root = root::Root<ROOT>;

layout! {
    struct Fields: 64 {
        0 unit: u32,
        4 zeros: u32,
        8 capacity: u64,
        16 current: u64,
        24 current_mirror: u64,
        32 other: u64,
        40 other_mirror: u64,
        48 salt: u64,
        56 end: u64,
    }
}

impl Places {
    pub(crate) fn bytes(&self) -> [u8; ROOT] {
        let ([current, current_mirror], [other, other_mirror]) = (self.current, self.other);
        let Self { capacity, salt, end, .. } = *self;
        // At most 2^30. No root with another number leads to a log.
        let (unit, zeros) = (u32::try_from(self.unit).unwrap_or(0), 0);
        let fields = Fields {
            unit,
            zeros,
            capacity,
            current,
            current_mirror,
            other,
            other_mirror,
            salt,
            end,
        };
        fields.to_bytes()
    }

    /// Returns `None` if a log cannot be there.
    pub(crate) fn read(bytes: &[u8; ROOT]) -> Option<Self> {
        let fields = Fields::from_bytes(bytes);
        let places = Self {
            unit: fields.unit.into(),
            capacity: fields.capacity,
            current: [fields.current, fields.current_mirror],
            other: [fields.other, fields.other_mirror],
            salt: fields.salt,
            end: fields.end,
        };
        let is_possible = |at: u64| {
            at >= root::BYTES
                && at.is_multiple_of(PAGE)
                && at.checked_add(places.capacity).is_some_and(|end| end < 1 << 62)
        };
        let is_log = is_unit(places.unit)
            && places.capacity >= CAPACITY
            && places.capacity.is_multiple_of(PAGE)
            && places.end <= places.capacity
            && places.mirrors().all(is_possible);
        is_log.then_some(places)
    }

    /// Returns the range that a mirror occupies, in whole units.
    pub(crate) const fn occupied(at: u64, capacity: u64, unit: u64) -> Range<u64> {
        at..at + capacity.next_multiple_of(unit)
    }

    /// Returns the offsets of all four mirrors.
    pub(crate) fn mirrors(&self) -> impl Iterator<Item = u64> {
        self.current.into_iter().chain(self.other)
    }
}

/// Returns the epoch of a new log, which no log in this place has had before. It depends on `before`, the tag of the
/// first record of the previous log there, and on unpredictable words.
pub(crate) fn new_salt(identity: Identity, generation: u64, before: u64, entropy: [u64; 2]) -> u64 {
    let key = tag::key(identity, generation, before, Kind::Epoch);
    tag::of(key, entropy.map(u64::to_le_bytes).as_flattened())
}

#[cfg(test)]
mod tests {
    use super::entry::{EntryKind, occupied};
    use super::{CAPACITY, compacted, data, needed, tags};

    /// Worked out by hand from `FORMAT.md`.
    #[test]
    fn everything_is_where_the_documentation_says() {
        assert_eq!((data(64), data(65536)), (16384, 65536));
        assert_eq!(tags(65536), 65536..65536, "one chunk needs no list");
        assert_eq!(tags(65537), 65544..65560);
        assert_eq!(tags(200_000), 200_000..200_032);
        let blob = |len| occupied(EntryKind::Blob, len, 64);
        assert_eq!([0, 1, 65537, u64::MAX].map(blob), [Some(0), Some(64), Some(65600), None]);
        let region = |len| occupied(EntryKind::Region, len, 64);
        assert_eq!([4096, 2 << 20, u64::MAX].map(region), [Some(4096), Some(2 << 20), None]);
        assert_eq!(compacted(0), 104);
        assert_eq!(needed(0), CAPACITY);
        // A line, 52,600 and 50,048 bytes.
        assert_eq!(needed(50_000), 106_496);
        // A line, 4,136 and 3,968 bytes.
        assert_eq!(needed(3928), 8192);
        // A line, 4,144 and 4,032 bytes, which are 8,176 without the line.
        assert_eq!(needed(3936), 12_288);
    }
}
