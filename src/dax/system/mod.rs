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
pub(super) use linux::{Concluded, Linux as Host, extents, syncfs_reports_errors};
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

/// What a file is opened and mapped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Loads alone.
    Read,
    /// Loads and stores.
    ReadAndWrite,
}

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

impl Extent {
    /// So many bytes, which are mapped by pages.
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
    /// Where the mapping begins in the file, in bytes; a multiple of the page size.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) len: usize,
    pub(super) access: Access,
    pub(super) writeback: Writeback,
    /// Whether every page is made accessible at once.
    pub(super) populate: bool,
    /// Whether parts to which a store would need the file system are taken: whoever maps it sees to them.
    pub(super) takes_unwritten: bool,
    /// True if the unwritten end that a growth left is written first.
    pub(super) finishes: bool,
}

/// What an operating system says of a file, and how it maps it.
pub(super) trait Mapper {
    /// Whether the system writes pages back for a mapping that is one for reading only.
    const PERSISTS_VIEWS: bool;

    /// Whether something that is neither a regular file nor a directory can be mapped. It is not opened
    /// for that.
    fn is_mappable(_: &Path, _: &Metadata) -> Result<bool, Error> {
        Ok(false)
    }

    /// What there is of an open file to be mapped.
    fn extent(_: &Path, _: &File, metadata: &Metadata) -> Result<Extent, Error> {
        Ok(Extent::of_bytes(metadata.len()))
    }

    /// What the medium of an open file guarantees; `cache` reaches the point of persistence, if there is
    /// one that does.
    fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error>;

    /// What a new file in a directory would get. Nothing is left there.
    fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error>;

    /// Finds out at once whether there is room for these bytes, where the system can tell; where it
    /// cannot, writing them finds out. The file keeps its length.
    fn reserve(file: &File, range: Range<u64>) -> io::Result<()>;

    /// Maps a part of a file.
    fn map(path: &Path, file: &File, plan: &Plan) -> Result<Mapping, Error>;

    /// Where the bytes of a mapping lie, which is a range of an open file of which this is known.
    fn placement(_: &File, _: &Guarantee, _: &Range<u64>) -> Result<Placement, Unknown> {
        let answer = "where the bytes of a file lie is not asked for here";
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

    /// The first of these bytes that another open file has a lock of.
    fn leased(_: &File, _: &Range<u64>) -> Result<Option<Range<u64>>, ErrorKind> {
        Ok(None)
    }
}
