//! Linux: what is asked of a file, what is concluded from it, and mappings of both kinds.

mod adopted;
mod conclude;
mod device;
#[expect(unsafe_code, reason = "FIEMAP is an ioctl that no safe wrapper offers")]
pub(in crate::dax) mod extents;
#[expect(unsafe_code, reason = "locks of ranges are a call that no safe wrapper offers")]
mod leases;
#[expect(unsafe_code, reason = "maps and unmaps memory")]
mod mapping;
mod media;
mod placement;
mod reach;
#[cfg(test)]
mod tests;
mod through_kernel;
mod written;

use super::{Access, Mappable, Mapper, Plan, files};
use crate::cache::Cache;
use crate::cpu;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::mapping::Mapping;
use crate::dax::{Guarantee, InvalidInput, NotSupported, Placement};
use crate::system::backing::device_dax::Device;
use crate::system::backing::mounts::mount_id;
use crate::system::nvdimm::{DEVICES, PmemRegion};
use crate::system::tree::{Tree, Unknown};
use adopted::Addresses;
use conclude::{Asked, conclude};
use core::ops::Range;
use core::ptr::NonNull;
use device::AskedOfDevice;
pub(in crate::dax) use device::DeepFlush;
use mapping::{Kind, Unpopulated};
use reach::Reach;
use rustix::fs::{AtFlags, FallocateFlags, StatFs, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Files on DAX are persisted by cache lines or finer, all others by `msync`.
pub(in crate::dax) struct Linux;

impl Mapper for Linux {
    const PERSISTS_VIEWS: bool = true;

    /// Returns true for devices of device DAX, if programs may use them.
    fn is_mappable(path: &Path, metadata: &Metadata) -> Result<bool, Error> {
        Ok(device_of(path, metadata)?.is_some())
    }

    fn mappable(path: &Path, file: &File, metadata: &Metadata) -> Result<Mappable, Error> {
        if let Some(device) = device_of(path, metadata)? {
            let (size, alignment) = (device.size, device.alignment);
            return Ok(Mappable { size, alignment, in_whole_units: true });
        }
        let alignment = alignment(&file_system(path, file)?);
        Ok(Mappable { size: metadata.len(), alignment, in_whole_units: false })
    }

    /// Asks the kernel about the file, and concludes.
    fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error> {
        guarantee_of_mapping(path, file, None, cache)
    }

    fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error> {
        Self::guarantee(directory, &unnamed_file_in(directory)?, cache)
    }

    fn reserve(file: &File, range: Range<u64>) -> io::Result<()> {
        let len = range.end - range.start;
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, range.start, len) {
            // A reservation is a hint; the writes find out what it could not do.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn map(path: &Path, file: &File, plan: &Plan) -> Result<Mapping, Error> {
        let (unit, deep_flush) = prepare(path, file, plan)?;
        let mapping = mapping::new(file.as_fd(), plan, unit, deep_flush)
            .map_err(|errno| Error::os(path, "mmap", &errno.into()))?;
        if plan.populate {
            populate(path, &mapping, plan.access)?;
        }
        Ok(mapping)
    }

    fn placement(
        file: &File,
        guarantee: &Guarantee,
        mapping: &Range<u64>,
    ) -> Result<Placement, Unknown> {
        placement::placement(&Tree::host(), file, guarantee, mapping)
    }

    fn lease(file: &File, range: &Range<u64>) -> Result<(), ErrorKind> {
        leases::take(file, range)
    }

    fn release(file: &File, range: &Range<u64>) -> Result<(), ErrorKind> {
        leases::give_up(file, range)
    }

    fn leased(file: &File, range: &Range<u64>) -> Result<Option<Range<u64>>, ErrorKind> {
        leases::first_of_others(file, range)
    }
}

/// Mappings that the caller has made.
impl Linux {
    /// Asks the kernel about the file and the mapping, and concludes.
    pub(in crate::dax) fn guarantee_of_adopted(
        path: &Path,
        file: &File,
        mapping: NonNull<[u8]>,
        offset: u64,
        cache: Option<Cache>,
    ) -> Result<Guarantee, Error> {
        let start = mapping.addr().get() as u64;
        let addresses = Addresses { start, end: start.saturating_add(mapping.len() as u64) };
        adopted::require_shared(&Tree::host(), addresses, offset)
            .map_err(|why| Error::new(path, ErrorKind::InvalidInput(InvalidInput::Mapping(why))))?;
        guarantee_of_mapping(path, file, Some(addresses), cache)
    }

    /// Takes a mapping, and does the same to the file as for one that is made here.
    ///
    /// # Safety
    /// 1. The bytes from `base` on are a shared mapping of this part of the file, for reading and writing, up to the
    ///    end of the last page, until the value is dropped.
    /// 2. `base` is a multiple of the page size.
    /// 3. This process makes no reference to the bytes except to atomic words.
    #[expect(unsafe_code, reason = "a mapping is the caller's word")]
    pub(in crate::dax) unsafe fn adopt(
        path: &Path,
        file: &File,
        plan: &Plan,
        base: NonNull<u8>,
    ) -> Result<Mapping, Error> {
        let (_, deep_flush) = prepare(path, file, plan)?;
        // SAFETY: (1, 2, 3) the caller's duties of the same numbers.
        let mapping = unsafe { mapping::adopt(base, plan, deep_flush) };
        if plan.populate {
            populate(path, &mapping, plan.access)?;
        }
        Ok(mapping)
    }
}

/// Addresses of mappings that the caller has made, of which nothing else is known here.
impl Linux {
    /// Returns the attribute that flushes the medium of a device; `None` for a file, whose `msync` does it.
    pub(in crate::dax) fn deep_flush_of(guarantee: &Guarantee) -> Option<DeepFlush> {
        let attribute =
            |region: &PmemRegion| Path::new(DEVICES).join(&region.name).join("deep_flush");
        let region = guarantee.region.as_ref();
        guarantee.is_device_dax.then(|| DeepFlush::new(Tree::host(), region.map(attribute)))
    }

    /// Has the pages that a range touches written back, and waits.
    ///
    /// # Safety
    /// 1. The range is in a mapping of the caller's, or nothing is mapped there, which is an error.
    #[expect(unsafe_code, reason = "a mapping is the caller's word")]
    pub(in crate::dax) unsafe fn sync_range(start: *const u8, len: usize) -> io::Result<()> {
        // SAFETY: the caller's duty (1).
        unsafe { mapping::sync(start.cast_mut(), len, rustix::param::page_size()) }
    }
}

/// Makes a file ready to be mapped. Returns the bytes that the kernel maps at once, and what flushes a medium that has
/// no file system.
fn prepare(path: &Path, file: &File, plan: &Plan) -> Result<(u64, Option<DeepFlush>), Error> {
    if let Some(device) = open_device(path, file)? {
        let deep_flush = DeepFlush::new(Tree::host(), device.deep_flush);
        return Ok((device.alignment, Some(deep_flush)));
    }
    if Kind::of(plan.writeback) == Kind::Synchronous {
        written::require(path, file, plan)?;
    }
    Ok((alignment(&file_system(path, file)?), None))
}

/// Asks about a file and a mapping of it that the caller has made, if there is one. Of a device any shared mapping will
/// do: there is no file system that a store could need.
fn guarantee_of_mapping(
    path: &Path,
    file: &File,
    adopted: Option<Addresses>,
    cache: Option<Cache>,
) -> Result<Guarantee, Error> {
    if let Some(device) = open_device(path, file)? {
        return guarantee_of_device(path, file, device, cache);
    }
    let status = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        .map_err(|errno| Error::os(path, "statx", &errno.into()))?;
    let tells_dax = status.stx_attributes_mask.contains(StatxAttributes::DAX);
    let (tree, file_system) = (Tree::host(), file_system(path, file)?);
    let asked = Asked {
        device: (status.stx_dev_major, status.stx_dev_minor),
        mount_id: mount_id(&tree, file),
        magic: name_of(&file_system),
        bytes: bytes(&file_system),
        dax_attribute: tells_dax.then(|| status.stx_attributes.contains(StatxAttributes::DAX)),
        map_sync: map_sync(path, file, rustix::param::page_size())?,
        reach: Reach::of(cache),
        in_guest: cpu::is_guest(),
        data_cache_aliases: through_kernel::aliases_here() == Some(true),
        page: rustix::param::page_size(),
        alignment: alignment(&file_system),
        adopted,
    };
    Ok(conclude(&tree, &asked))
}

fn populate(path: &Path, mapping: &Mapping, access: Access) -> Result<(), Error> {
    let kind = match mapping::populate(mapping, access) {
        Ok(()) => return Ok(()),
        Err(Unpopulated::Unknown) => ErrorKind::NotSupported(NotSupported::CannotPopulate),
        Err(Unpopulated::At { at, errno }) => {
            ErrorKind::Unpopulated { at, errno: errno.raw_os_error() }
        }
    };
    Err(Error::new(path, kind))
}

/// Returns the device of device DAX that an open file is, if it is one.
fn open_device(path: &Path, file: &File) -> Result<Option<Device>, Error> {
    let metadata = file.metadata().map_err(|error| Error::os(path, "fstat", &error))?;
    device_of(path, &metadata)
}

fn device_of(path: &Path, metadata: &Metadata) -> Result<Option<Device>, Error> {
    let tree = Tree::host();
    let Some(found) = device::find(&tree, metadata) else { return Ok(None) };
    device::read(&tree, &found).map(Some).map_err(|kind| Error::new(path, kind))
}

fn guarantee_of_device(
    path: &Path,
    file: &File,
    device: Device,
    cache: Option<Cache>,
) -> Result<Guarantee, Error> {
    let unit = usize::try_from(device.alignment).unwrap_or(usize::MAX);
    let asked = AskedOfDevice {
        map_sync: map_sync(path, file, unit)?,
        reach: Reach::of(cache),
        in_guest: cpu::is_guest(),
    };
    device::conclude(&Tree::host(), device, &asked).map_err(|kind| Error::new(path, kind))
}

/// Returns the alignment of the offsets of a file's mappings: a page, and on hugetlbfs a huge page, to which the kernel
/// rounds lengths up there (mmap(2), "Huge page (Huge TLB) mappings").
fn alignment(status: &StatFs) -> u64 {
    let page = rustix::param::page_size() as u64;
    // Of a type that differs from architecture to architecture, as the magic number is.
    let block = u64::try_from(status.f_bsize).unwrap_or_default();
    let is_huge = name_of(status) == Some("hugetlbfs") && block.is_power_of_two();
    if is_huge { block.max(page) } else { page }
}

/// Returns the size of a file system in bytes. f2fs reports no other size of blocks (Linux `fs/f2fs/super.c`,
/// `f2fs_statfs`; `fs/statfs.c`, `vfs_statfs`).
fn bytes(status: &StatFs) -> Option<u64> {
    u64::try_from(status.f_bsize).ok().and_then(|block| status.f_blocks.checked_mul(block))
}

fn file_system(path: &Path, file: &File) -> Result<StatFs, Error> {
    rustix::fs::fstatfs(file).map_err(|errno| Error::os(path, "fstatfs", &errno.into()))
}

/// `include/uapi/linux/magic.h`; ext4 has that of ext2 too.
const MAGIC: [(u32, &str); 7] = [
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x9584_58f6, "hugetlbfs"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x794c_7630, "overlay"),
];

/// Returns the file system's name by its magic number.
fn name_of(status: &StatFs) -> Option<&'static str> {
    // 32 bits, in a type that differs from architecture to architecture, with a sign on some.
    let magic = i128::from(status.f_type) & i128::from(u32::MAX);
    MAGIC.iter().find(|(number, _)| i128::from(*number) == magic).map(|(_, name)| *name)
}

/// Returns a file without a name, which is gone when it is closed.
fn unnamed_file_in(directory: &Path) -> Result<File, Error> {
    files::unnamed_in(directory).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::OPNOTSUPP) => {
            Error::new(directory, ErrorKind::NotSupported(NotSupported::NoUnnamedFiles))
        }
        _ => Error::opening(directory, &error),
    })
}

/// Returns the kernel's answer to `MAP_SYNC`. Only these two errors are refusals (mmap(2)); other errors say nothing
/// about the file.
fn map_sync(path: &Path, file: &File, page: usize) -> Result<Result<(), Errno>, Error> {
    match mapping::probe(file.as_fd(), Kind::Synchronous, page) {
        Ok(()) => Ok(Ok(())),
        Err(refusal @ (Errno::OPNOTSUPP | Errno::INVAL)) => Ok(Err(refusal)),
        Err(errno) => Err(Error::os(path, "mmap", &errno.into())),
    }
}
