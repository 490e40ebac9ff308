//! Bytes of files that are known to be bad.

use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of a file that are known to be bad.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadBlocks {
    /// The ranges in bytes of the mapping: ascending, apart from each other, and not empty.
    pub ranges: Vec<Range<u64>>,
    /// True if the kernel had space for everything that it knows of the device. It keeps a page of entries and shows a
    /// page of text (`block/badblocks.c`): where either is full, more may be bad than is listed.
    pub is_complete: bool,
}

impl BadBlocks {
    pub(super) const fn new(ranges: Vec<Range<u64>>, is_complete: bool) -> Self {
        Self { ranges, is_complete }
    }
}
