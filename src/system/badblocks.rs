//! Lists of media errors, as Linux shows them: the attribute `badblocks` of a disk and of a region.
//!
//! Each line is a first sector and a number of sectors, of 512 bytes even if the device's own are larger
//! (`block/badblocks.c`, `badblocks_show`). A disk's are counted from its start, which in a namespace with metadata is
//! behind them (`drivers/nvdimm/pmem.c`, `pmem_attach_disk`), a region's from the region's.
//!
//! # Limits
//! The list does not have:
//! - Errors that were not met yet. It has those that firmware reported, that a scrub found, or that raised a machine
//!   check.
//! - The rest of a full list. The kernel keeps a page of entries, 512 of at most 512 sectors each where pages have 4096
//!   bytes. It leaves out the others ("this isn't an error as the hardware will still throw an exception",
//!   `drivers/nvdimm/badrange.c`, `set_badblock`). It shows one byte less than a page of text, which can end within a
//!   line. `backing::bad_blocks::Listed::may_be_cut` reports if either could have happened.

use alloc::vec::Vec;
use core::ops::Range;

/// The unit in bytes in which block devices count, also those with larger sectors.
pub(crate) const SECTOR: u64 = 512;

/// Returns the list in a complete text, in bytes; `None` if it is not such a list.
pub(crate) fn parse(text: &str) -> Option<Vec<Range<u64>>> {
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Range<u64>> {
    let (first, count) = line.split_once(' ')?;
    let bytes = |sectors: &str| sectors.trim().parse::<u64>().ok()?.checked_mul(SECTOR);
    let start = bytes(first)?;
    let end = start.checked_add(bytes(count)?)?;
    (start < end).then_some(start..end)
}
