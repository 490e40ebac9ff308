//! Linux: what is asked of a file, what is concluded from it, and mappings of both kinds.

mod conclude;
#[expect(unsafe_code, reason = "FIEMAP is an ioctl that no safe wrapper offers")]
mod extents;
#[expect(unsafe_code, reason = "maps and unmaps memory")]
mod mapping;
#[cfg(test)]
mod tests;
mod views;

use super::{Access, Mapper, Plan, files};
use crate::arch::Point;
use crate::cache::Cache;
use crate::dax::Guarantee;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::mapping::Mapping;
use crate::platform;
use crate::platform::mounts::mount_id;
use crate::platform::tree::Tree;
use crate::report::Aliasing;
use conclude::{Asked, conclude};
use core::ops::Range;
use mapping::{Kind, Unpopulated};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Files on DAX are persisted by cache lines or finer, all others by `msync`.
pub(in crate::dax) struct Linux;

impl Mapper for Linux {
    const PERSISTS_VIEWS: bool = true;

    /// Asks the kernel about the file, and concludes.
    fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error> {
        let status = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map_err(|errno| Error::os(path, "statx", &errno.into()))?;
        let tells_dax = status.stx_attributes_mask.contains(StatxAttributes::DAX);
        let (tree, page) = (Tree::host(), rustix::param::page_size());
        let asked = Asked {
            device: (status.stx_dev_major, status.stx_dev_minor),
            mount_id: mount_id(&tree, file),
            dax_attribute: tells_dax.then(|| status.stx_attributes.contains(StatxAttributes::DAX)),
            map_sync: map_sync(path, file, page)?,
            line: cache.map(Cache::line_size),
            coherency_accepted: cache.is_some_and(takes_coherency_for_persistence),
            in_guest: platform::is_guest(),
            data_cache_aliases: matches!(views::aliasing_here(), Aliasing::Yes { .. }),
            page,
        };
        Ok(conclude(&tree, &asked))
    }

    fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error> {
        Self::guarantee(directory, &unnamed_file_in(directory)?, cache)
    }

    fn reserve(file: &File, range: Range<u64>) -> io::Result<()> {
        let len = range.end - range.start;
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, range.start, len) {
            // It is a hint; what it could not do the writes find out.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn map(path: &Path, file: &File, plan: &Plan) -> Result<Mapping, Error> {
        if Kind::of(plan.writeback) == Kind::Synchronous {
            require_written(path, file, plan.offset, plan.len)?;
            if plan.access == Access::Read {
                make_blocks_durable(path, file)?;
            }
        }
        let mapping = mapping::new(file.as_fd(), plan)
            .map_err(|errno| Error::os(path, "mmap", &errno.into()))?;
        if plan.populate {
            populate(path, &mapping, plan.access)?;
        }
        Ok(mapping)
    }
}

/// Has the file system commit which blocks the file has. A writer's own mapping sees to it at the first
/// store to each page (`MAP_SYNC`), if it is such a one; a mapping for reading never does.
fn make_blocks_durable(path: &Path, file: &File) -> Result<(), Error> {
    file.sync_all().map_err(|error| Error::os(path, files::SYNC, &error))
}

fn populate(path: &Path, mapping: &Mapping, access: Access) -> Result<(), Error> {
    let kind = match mapping::populate(mapping, access) {
        Ok(()) => return Ok(()),
        Err(Unpopulated::Unknown) => ErrorKind::CannotPopulate,
        Err(Unpopulated::At { at, errno }) => {
            ErrorKind::Unpopulated { at, errno: errno.raw_os_error() }
        }
    };
    Err(Error::new(path, kind))
}

/// A file without a name, which is gone when it is closed.
fn unnamed_file_in(directory: &Path) -> Result<File, Error> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR).map(File::from).map_err(|errno| {
        match errno {
            Errno::OPNOTSUPP => Error::new(directory, ErrorKind::NoUnnamedFiles),
            errno => Error::opening(directory, &errno.into()),
        }
    })
}

/// The kernel's answer to `MAP_SYNC`. Only these two are refusals (mmap(2)); other errors tell nothing
/// about the file.
fn map_sync(path: &Path, file: &File, page: usize) -> Result<Result<(), Errno>, Error> {
    match mapping::probe(file.as_fd(), Kind::Synchronous, page) {
        Ok(()) => Ok(Ok(())),
        Err(refusal @ (Errno::OPNOTSUPP | Errno::INVAL)) => Ok(Err(refusal)),
        Err(errno) => Err(Error::os(path, "mmap", &errno.into())),
    }
}

/// Whether this handle, aimed at persistence, reaches coherency only.
fn takes_coherency_for_persistence(cache: Cache) -> bool {
    cache.writeback_instruction().point < Point::Persistence
}

/// Refuses a file in which a store could still need the file system.
fn require_written(path: &Path, file: &File, offset: u64, len: usize) -> Result<(), Error> {
    match extents::first_unwritten(file, offset, len as u64) {
        Ok(None) => Ok(()),
        Ok(Some(found)) => {
            Err(Error::new(path, ErrorKind::NotAllocated { at: found.at, what: found.what }))
        }
        Err(errno) => Err(Error::os(path, "FIEMAP", &errno.into())),
    }
}
