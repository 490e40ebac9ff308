//! What a file gets from its operating system: one room for each way, and one place that chooses.
//!
//! | room | what it holds |
//! |---|---|
//! | `linux` | files on DAX: the evidence, mappings that are persisted by cache lines, and by pages elsewhere |
//! | `paged` | any other system: a mapping that the system persists by pages, and that says so |
//! | `unix`, `windows` | how files are opened, named and removed, whichever way they are mapped |
//!
//! `paged` is compiled on Linux too for its tests, with the files of `unix` under it.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), all(test, not(miri))))]
mod paged;
#[cfg(unix)]
pub(super) mod unix;
#[cfg(windows)]
pub(super) mod windows;

#[cfg(target_os = "linux")]
pub(super) use linux::Linux as Host;
#[cfg(not(target_os = "linux"))]
pub(super) use paged::Paged as Host;
#[cfg(unix)]
pub(super) use unix as files;
#[cfg(windows)]
pub(super) use windows as files;

use super::mapping::Mapping;
use super::{Error, Guarantee, Writeback};
use crate::cache::Cache;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// What there is of a file to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its size in bytes.
    pub(super) size: u64,
    /// What offsets must be multiples of, in bytes: a page, or more.
    pub(super) alignment: u64,
    /// Whether lengths must be multiples of it too.
    pub(super) in_whole_units: bool,
}

/// What an operating system says of a file, and how it maps it.
pub(super) trait Mapper {
    /// Whether something that is neither a regular file nor a directory can be mapped. It is not opened
    /// for that.
    fn is_mappable(path: &Path, metadata: &Metadata) -> Result<bool, Error>;

    /// What there is of an open file to be mapped.
    fn extent(path: &Path, file: &File, metadata: &Metadata) -> Result<Extent, Error>;

    /// What the medium of an open file guarantees; `cache` reaches the point of persistence, if there is
    /// one that does.
    fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error>;

    /// What a new file in a directory would get. Nothing is left there.
    fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error>;

    /// Finds out at once whether there is room for so many bytes, where the system can tell; where it
    /// cannot, writing them finds out.
    fn reserve(file: &File, len: u64) -> io::Result<()>;

    /// Maps `len` bytes from `offset`, a multiple of the page size, to be persisted in this way.
    fn map(
        path: &Path,
        file: &File,
        offset: u64,
        len: usize,
        writeback: Writeback,
    ) -> Result<Mapping, Error>;
}
