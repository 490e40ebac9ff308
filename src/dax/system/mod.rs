//! The services of the operating system for a file: one module for each system, and one place that chooses.
//!
//! | module | contents |
//! |---|---|
//! | `linux` | files on DAX: the evidence, mappings that are persisted by cache lines, and by pages elsewhere |
//! | `paged` | any other system: a mapping that the system persists by pages, and that says so |
//! | `unix`, `windows` | opening, naming and removing files, for all methods to map them |
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
pub(super) use linux::{DeepFlush, Linux as Host, extents};
#[cfg(not(target_os = "linux"))]
pub(super) use paged::Paged as Host;
#[cfg(unix)]
pub(super) use unix as files;
#[cfg(windows)]
pub(super) use windows as files;

use super::mapping::Mapping;
use super::{Error, ErrorKind, Guarantee, Placement, Writeback};
use crate::cache::Cache;
use crate::system::calls::System;
use crate::system::tree::Unknown;
use core::ops::Range;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// The accesses for which a file is opened and mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Loads alone.
    Read,
    /// Loads and stores.
    ReadAndWrite,
}

/// The part of a file that can be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mappable {
    /// The size in bytes.
    pub(super) size: u64,
    /// The alignment of offsets, in bytes: a page, or more.
    pub(super) alignment: u64,
    /// True if lengths must be multiples of it too.
    pub(super) in_whole_units: bool,
}

impl Mappable {
    /// Returns a part of `size` bytes that are mapped by pages.
    pub(super) fn of_bytes(size: u64) -> Self {
        Self { size, alignment: files::page_size() as u64, in_whole_units: false }
    }
}

/// The bytes of a file that are mapped, and the method.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "other systems persist any parts of a file in one way")
)]
pub(super) struct Plan {
    /// The beginning of the mapping in the file, in bytes; a multiple of the page size.
    pub(super) offset: u64,
    /// The length of the mapping in bytes.
    pub(super) len: usize,
    pub(super) access: Access,
    pub(super) writeback: Writeback,
    /// True if every page is made accessible at once.
    pub(super) populate: bool,
    /// True if the unwritten end that a growth left is written first.
    pub(super) finishes: bool,
}

/// The answers of an operating system about a file, and its method to map it.
pub(super) trait Mapper {
    /// True if the system writes pages back for a mapping for reading only.
    const PERSISTS_VIEWS: bool;

    /// True if a new file has its name before it is filled, so that other processes can open it meanwhile.
    const NAMES_FIRST: bool = false;

    /// True if a mapped file that is cut off keeps the stores to the page of its new end.
    const KEEPS_CUT_PAGES: bool = true;

    /// Returns true if a file that is neither a regular file nor a directory can be mapped. It is not opened for that.
    fn is_mappable(_: &Path, _: &Metadata) -> Result<bool, Error> {
        Ok(false)
    }

    /// Returns the part of an open file that can be mapped.
    fn mappable(_: &Path, _: &File, metadata: &Metadata) -> Result<Mappable, Error> {
        Ok(Mappable::of_bytes(metadata.len()))
    }

    /// Returns the guarantee of the medium of an open file. `cache` is not aimed yet; it is `None` if
    /// this CPU writes nothing back.
    fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error>;

    /// Returns the guarantee that a new file in a directory would get. No file is left there.
    fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error>;

    /// Checks at once if there is space for these bytes, where the system can do so. Elsewhere writing them finds out.
    /// The file keeps its length.
    fn reserve(file: &File, range: Range<u64>) -> io::Result<()>;

    /// Maps a part of a file.
    fn map(path: &Path, file: &File, plan: &Plan) -> Result<Mapping, Error>;

    /// Returns the physical location of a mapping, given as a range of an open file, and its guarantee.
    fn placement(_: &File, _: &Guarantee, _: &Range<u64>) -> Result<Placement, Unknown> {
        let answer = "the place of a file's bytes is not asked for here";
        Err(Unknown::new(System::host().name, answer, "ask for it under Linux, on ext4 or xfs"))
    }

    /// Takes a shared lock of these bytes of a file for the open file; there are some.
    fn lease(_: &File, _: &Range<u64>) -> Result<(), ErrorKind> {
        Err(ErrorKind::NoLeases { errno: None })
    }

    /// Gives up the locks that the open file has of these bytes.
    fn release(_: &File, _: &Range<u64>) -> Result<(), ErrorKind> {
        Ok(())
    }

    /// Returns the first of these bytes that another open file has a lock of.
    fn leased(_: &File, _: &Range<u64>) -> Result<Option<Range<u64>>, ErrorKind> {
        Ok(None)
    }
}
