//! The layout of a store in its medium, and the bytes of each part. This module does not access a medium.

pub(in crate::preserve) mod header;
pub(in crate::preserve) mod history;
pub(in crate::preserve) mod key;
pub(in crate::preserve) mod page;
pub(in crate::preserve) mod stamp;
pub(in crate::preserve) mod table;

use super::info::Content;
use core::ops::RangeInclusive;

/// The size of a word in bytes; everything begins and ends at a multiple of it.
pub(super) const WORD: u64 = 8;
/// The distance of the headers in bytes: each has a page of its own.
pub(super) const PAGE: u64 = 4096;
/// The least alignment of a region in bytes, and of its length: usually a page.
pub(super) const REGION: u64 = 4096;
/// True for the fuzz targets of this project. They reach stores with several chunks and with deep tables sooner if both
/// are small: another format, which only their own flag turns on.
const IS_SMALL: bool = cfg!(cachemaint_small_chunks);
/// Bytes of a blob that have a tag of their own.
pub(super) const CHUNK: u64 = if IS_SMALL { 1 << 12 } else { 1 << 16 };
/// Bytes of a tag.
pub(super) const TAG: u64 = 8;
/// The permitted sizes of a unit in bytes.
pub(super) const UNIT: RangeInclusive<u64> = 64..=1 << 30;
/// The most bytes of a name.
pub(super) const NAME: usize = if IS_SMALL { 64 } else { 255 };
/// The most bytes of metadata.
pub(super) const METADATA: usize = if IS_SMALL { 64 } else { 4096 };
/// The offset of the first of the two histories.
const HISTORY: u64 = 4 * PAGE;

/// Returns the offsets of the header of a generation and of its copy.
pub(super) const fn headers(generation: u64) -> [u64; 2] {
    let at = generation % 2 * PAGE;
    [at, at + 2 * PAGE]
}

/// Returns the offset of a history.
pub(super) const fn history(number: u64) -> u64 {
    HISTORY + number % 2 * history::MOST
}

/// Returns the offset at which the first blob or page can begin.
pub(super) const fn data(unit: u64) -> u64 {
    (HISTORY + 2 * history::MOST).next_multiple_of(unit)
}

/// Returns true if a number of bytes is a permitted size of a unit.
pub(super) fn is_unit(bytes: u64) -> bool {
    UNIT.contains(&bytes) && bytes.is_power_of_two()
}

/// Returns the number of chunks of a blob of `len` bytes.
pub(super) const fn chunks(len: u64) -> u64 {
    len.div_ceil(CHUNK)
}

/// Returns the range of the list of a blob's tags, relative to the beginning of the blob. The list is empty if the blob
/// has only one chunk: the entry stores its tag.
pub(super) const fn tags(len: u64) -> core::ops::Range<u64> {
    if chunks(len) < 2 {
        return len..len;
    }
    let at = len.next_multiple_of(WORD);
    at..at + chunks(len) * TAG
}

impl Content {
    /// Returns the bytes of a blob with its tags, or of a region.
    pub(super) const fn bytes(self, len: u64) -> u64 {
        match self {
            Self::Blob => tags(len).end,
            Self::Region => len,
        }
    }

    /// Returns the bytes that it occupies, in whole units, or `None` if `len` is 2^63 or more.
    pub(super) fn occupied(self, len: u64, unit: u64) -> Option<u64> {
        if i64::try_from(len).is_err() {
            return None;
        }
        Some(self.bytes(len).next_multiple_of(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::super::info::Content;
    use super::{data, headers, history, tags};

    /// Worked out by hand from the module's documentation.
    #[test]
    fn everything_is_where_the_documentation_says() {
        assert_eq!((headers(6), headers(7)), ([0, 8192], [4096, 12288]));
        assert_eq!((history(0), history(1)), (16384, 16384 + 4608));
        assert_eq!((data(64), data(4096)), (25600, 28672));
        assert_eq!(tags(65536), 65536..65536, "one chunk needs no list");
        assert_eq!(tags(65537), 65544..65560);
        assert_eq!(tags(200_000), 200_000..200_032);
        let blob = |len| Content::Blob.occupied(len, 64);
        assert_eq!([0, 1, 65537, u64::MAX].map(blob), [Some(0), Some(64), Some(65600), None]);
        let region = |len| Content::Region.occupied(len, 64);
        assert_eq!([4096, 2 << 20, u64::MAX].map(region), [Some(4096), Some(2 << 20), None]);
    }
}
