//! Media errors of files, and the outcome of clearing them.

#[cfg(target_os = "linux")]
use alloc::vec::Vec;
#[cfg(target_os = "linux")]
use core::ops::Range;

/// Bytes of a file that are known to be bad.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadBlocks {
    /// The ranges in bytes of the mapping: ascending, apart from each other, and not empty.
    pub ranges: Vec<Range<u64>>,
    /// True if the kernel had space for everything that it knows of the device. It keeps a page of entries and shows a
    /// page of text (`block/badblocks.c`): where either is full, more may be bad than is listed.
    pub is_complete: bool,
}

#[cfg(target_os = "linux")]
impl BadBlocks {
    pub(super) const fn new(ranges: Vec<Range<u64>>, is_complete: bool) -> Self {
        Self { ranges, is_complete }
    }
}

/// A step of clearing a block.
///
/// Before Linux 5.18 the mapping keeps its old pages where they are locked, whichever step failed. Accesses to them can
/// still fail until the file is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClearStep {
    /// Reading the bytes to keep failed, for another reason than the medium. Nothing was changed in this block.
    Read,
    /// Releasing the block failed. It is as it was, or a hole.
    Punch,
    /// Writing zeros and the kept bytes failed. The block is a hole, or zeros that are not durable, and all of it is
    /// lost: the device cannot clear it, or there is no space.
    Write,
    /// Making the written bytes durable failed. They may not be durable.
    Sync,
    /// Everything was written, and the block still cannot be used: it cannot be read, has no written block
    /// of its own, or the kernel keeps it in its list.
    Check,
    /// Everything else succeeded, so no block of the whole range is known to be bad. The mapping keeps its old pages. Open
    /// the file again.
    Unmap,
}

impl ClearStep {
    /// Returns the step, and the state that its failure leaves.
    pub(super) const fn state(self) -> &'static str {
        match self {
            Self::Read => "reading what can be kept of it failed, and it is as it was",
            Self::Punch => "giving it up failed (fallocate), and it is as it was or a hole",
            Self::Write => "writing it anew failed, and it is a hole or zeros",
            Self::Sync => "it was written anew, and making that durable failed",
            Self::Check => {
                "it was written anew, and the kernel still takes it for bad or unwritten"
            }
            Self::Unmap => "the mapping keeps its old pages (madvise)",
        }
    }

    /// Returns the action after a failure of the step.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::Unmap => "open the file again",
            _ => "copy the rest of the file to another place",
        }
    }
}
