//! The services of the operating system for a file: one module for Linux, one for the others, and one place that chooses.
//!
//! | module | contents |
//! |---|---|
//! | `linux` | the evidence; mappings that are persisted line by line, or in whole pages |
//! | `other` | any other system: mappings that the standard library and memmap2 persist in whole pages |
//!
//! Each has the same functions: `ask` makes the system calls about an open file, `conclude` makes a guarantee of the
//! answers, and `map` maps it. `files` opens, creates, names and syncs files.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
#[expect(unsafe_code, reason = "hands over the bytes that were mapped")]
pub(super) mod other;

#[cfg(target_os = "linux")]
pub use linux::BadBlocks;
#[cfg(target_os = "linux")]
pub(super) use linux::{
    DeepFlush, Linux as Host, PERSISTS_VIEWS, ask, ask_directory, bad_blocks, conclude, files,
    is_device, map, placement, reason, write_zeros,
};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{
    self as files, PERSISTS_VIEWS, ask, ask_directory, conclude, is_device, map, placement, reason,
    write_zeros,
};

use super::Writeback;
use super::bounds::Bounds;
use core::ops::Range;

/// The kind of access for which a file is opened and mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Only loads.
    Read,
    /// Loads and stores.
    ReadAndWrite,
}

/// The answers about an open file.
#[derive(Debug)]
pub(super) struct FileFacts {
    pub(super) bounds: Bounds,
    /// False for a regular file without a name: a memfd, or one that was made by `O_TMPFILE` or unlinked.
    pub(super) has_name: bool,
    /// True if later stores may not reach the mapped file: on overlayfs, a file of a lower layer that was opened
    /// read-only stays mapped even after a writer has copied it up (Linux `Documentation/filesystems/overlayfs.rst`,
    /// "Non-standard behavior").
    pub(super) may_be_of_a_lower_layer: bool,
    #[cfg(target_os = "linux")]
    answers: linux::Answers,
}

/// The part of a file that is mapped, and the method.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "other systems persist any parts of a file in one way")
)]
pub(super) struct MapOptions {
    /// The beginning of the mapping in the file, in bytes; a multiple of the page size.
    pub(super) offset: u64,
    /// The length of the mapping in bytes.
    pub(super) len: usize,
    pub(super) access: Access,
    pub(super) writeback: Writeback,
    /// True if every page is made accessible at once.
    pub(super) populate: bool,
    /// The part of the file to drop from the page cache, if that has large folios.
    pub(super) shed: Range<u64>,
}
