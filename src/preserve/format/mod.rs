//! Where things are in the medium, and the bytes of each. There is no access to a medium here.

pub(in crate::preserve) mod header;
pub(in crate::preserve) mod history;
pub(in crate::preserve) mod key;
pub(in crate::preserve) mod page;
pub(in crate::preserve) mod stamp;
pub(in crate::preserve) mod table;

use core::ops::RangeInclusive;

/// The size of a word in bytes; everything begins and ends at a multiple of it.
pub(super) const WORD: u64 = 8;
/// Each header has one of its own.
pub(super) const PAGE: u64 = 4096;
/// True for the fuzz targets of this project. They reach stores with several chunks and with deep tables sooner if both
/// are small: another format, which only their own flag turns on.
const IS_SMALL: bool = cfg!(cachemaint_small_chunks);
/// Bytes of a blob that have a tag of their own.
pub(super) const CHUNK: u64 = if IS_SMALL { 1 << 12 } else { 1 << 16 };
/// Bytes of a tag.
pub(super) const TAG: u64 = 8;
/// What the bytes of a unit can be.
pub(super) const UNIT: RangeInclusive<u64> = 64..=1 << 30;
/// The most bytes of a name.
pub(super) const NAME: usize = if IS_SMALL { 64 } else { 255 };
/// The most bytes of metadata.
pub(super) const METADATA: usize = if IS_SMALL { 64 } else { 4096 };
/// Where the two histories begin.
const HISTORY: u64 = 4 * PAGE;

/// Where the header of a generation is, and its copy.
pub(super) const fn headers(generation: u64) -> [u64; 2] {
    let at = generation % 2 * PAGE;
    [at, at + 2 * PAGE]
}

/// Where a history is.
pub(super) const fn history(number: u64) -> u64 {
    HISTORY + number % 2 * history::MOST
}

/// Returns the place where the first blob or page can be.
pub(super) const fn data(unit: u64) -> u64 {
    (HISTORY + 2 * history::MOST).next_multiple_of(unit)
}

/// Whether it can be the size of a unit.
pub(super) fn is_unit(bytes: u64) -> bool {
    UNIT.contains(&bytes) && bytes.is_power_of_two()
}

/// How many chunks so many bytes are.
pub(super) const fn chunks(len: u64) -> u64 {
    len.div_ceil(CHUNK)
}

/// Returns the place of the list of a blob's tags, from the beginning of the blob. The list is empty if the blob has
/// only one chunk: the entry has its tag.
pub(super) const fn tags(len: u64) -> core::ops::Range<u64> {
    if chunks(len) < 2 {
        return len..len;
    }
    let at = len.next_multiple_of(WORD);
    at..at + chunks(len) * TAG
}

/// Bytes of a blob with all that belongs to it; `None` if there cannot be so many.
pub(super) fn occupied(len: u64, unit: u64) -> Option<u64> {
    if i64::try_from(len).is_err() {
        return None;
    }
    Some(tags(len).end.next_multiple_of(unit))
}

#[cfg(test)]
mod tests {
    use super::{data, headers, history, occupied, tags};

    /// Worked out by hand from the module's documentation.
    #[test]
    fn everything_is_where_the_documentation_says() {
        assert_eq!((headers(6), headers(7)), ([0, 8192], [4096, 12288]));
        assert_eq!((history(0), history(1)), (16384, 16384 + 4608));
        assert_eq!((data(64), data(4096)), (25600, 28672));
        assert_eq!(tags(65536), 65536..65536, "one chunk needs no list");
        assert_eq!(tags(65537), 65544..65560);
        assert_eq!(tags(200_000), 200_000..200_032);
        assert_eq!(occupied(0, 64), Some(0));
        assert_eq!(occupied(1, 64), Some(64));
        assert_eq!(occupied(65537, 64), Some(65600));
        assert_eq!(occupied(u64::MAX, 64), None);
    }
}
