//! Any system but Linux: the file is mapped through the page cache, and the system persists it by whole
//! pages. That is what the guarantee says, with the calls that do it.
//!
//! Nothing is asked about the device under the file, so nothing is promised of it.

#[expect(unsafe_code, reason = "hands over the bytes that were mapped")]
mod mapping;
#[cfg(any(windows, test))]
mod retry;
#[cfg(test)]
mod tests;

use super::{Mapper, Plan, files};
use crate::cache::Cache;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::mapping::Mapping;
use crate::dax::{Guarantee, NotSupported};
use crate::medium::Granularity;
use crate::survival::Backing;
use crate::system::calls::System;
use crate::system::tree::Evidence;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use std::fs::File;
use std::io;
use std::path::Path;

/// Files are persisted by whole pages.
pub(in crate::dax) struct Paged;

impl Mapper for Paged {
    /// False, as none of these systems documents it, and some refuse to sync a file that was opened for
    /// reading (Microsoft Learn, `FlushFileBuffers`; NetBSD, `fdatasync(2)`).
    const PERSISTS_VIEWS: bool = false;

    const NAMES_FIRST: bool = cfg!(windows);

    /// OpenBSD frees that page as it is (`sys/uvm/uvm_vnode.c`, `uvm_vnp_setsize`: `uvn_flush` without `PGO_CLEANIT`).
    const KEEPS_CUT_PAGES: bool = !cfg!(target_os = "openbsd");

    fn guarantee(_: &Path, _: &File, _: Option<Cache>) -> Result<Guarantee, Error> {
        Ok(conclude(&System::host(), files::page_size()))
    }

    fn guarantee_in(_: &Path, _: Option<Cache>) -> Result<Guarantee, Error> {
        Ok(conclude(&System::host(), files::page_size()))
    }

    fn reserve(_: &File, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn map(path: &Path, file: &File, plan: &Plan) -> Result<Mapping, Error> {
        if plan.populate {
            return Err(Error::new(path, ErrorKind::NotSupported(NotSupported::CannotPopulate)));
        }
        mapping::new(file, plan).map_err(|error| Error::os(path, "mapping it", &error))
    }
}

/// Returns the guarantee of every file on such a system.
fn conclude(system: &System, page: usize) -> Guarantee {
    let &System { name, persists_by } = system;
    Guarantee {
        granularity: Granularity::Page(page),
        backing: Backing::Unknown,
        reason: format!(
            "{name} persists them by {persists_by}, and this crate maps files directly on Linux only"
        ),
        advice: Some("where pages are too coarse use a file on persistent memory under Linux"),
        file_system: String::new(),
        mount_point: String::new(),
        device: String::new(),
        is_device_dax: false,
        alignment: page as u64,
        region: None,
        devices: Vec::new(),
        through_page_cache: true,
        drops_flushes: false,
        has_name: true,
        evidence: alloc::vec![
            Evidence::new("the operating system", name),
            Evidence::new("what makes stores durable", persists_by),
            Evidence::new("the device under the file", "not asked on this system"),
        ],
    }
}
