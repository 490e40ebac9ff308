//! All system calls about a file's inode.

use super::conclude::FileAnswers;
use super::device::{self, DeviceAnswers};
use super::files;
use super::mapping::{self, SHARED, SYNCHRONOUS};
use super::reach::Reach;
use crate::aliasing::{self, Aliasing};
use crate::arch::native;
use crate::cache::Cache;
use crate::cpu;
use crate::dax::bounds::Bounds;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::system::FileFacts;
use crate::system::backing::device_dax::Device;
use crate::system::backing::inode::{Inode, numbers};
use crate::system::calls::uninterrupted;
use crate::system::tree::{Tree, Unknown};
use alloc::boxed::Box;
use alloc::string::ToString;
use rustix::fs::{FileType, Mode, OFlags, StatFs, StatVfsMountFlags};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// The answers that differ between files and devices.
#[derive(Debug)]
pub(in crate::dax::system) enum Answers {
    File(FileAnswers),
    Device(Box<Device>, DeviceAnswers),
}

/// Asks about an open file, which must be a regular file or device DAX. `cache` is not aimed at a point yet; it is
/// `None` if this CPU cannot write lines back.
pub(in crate::dax) fn ask(
    path: &Path,
    file: &File,
    cache: Option<Cache>,
) -> Result<FileFacts, Error> {
    let inode = Inode::of(file).map_err(|error| Error::os(path, files::METADATA, &error))?;
    match inode.kind {
        FileType::RegularFile => ask_file(path, file, &inode, cache),
        FileType::Directory => Err(Error::is_directory(path)),
        FileType::CharacterDevice => {
            let found = device::find(path, &Tree::host(), inode.own_device)?;
            let device = found.ok_or_else(|| Error::new(path, ErrorKind::NotAFile))?;
            ask_device(path, file, device, cache)
        }
        _ => Err(Error::new(path, ErrorKind::NotAFile)),
    }
}

/// Returns the status of an open file.
pub(super) fn inode(file: &File) -> Result<Inode, Unknown> {
    Inode::of(file)
        .map_err(|error| Unknown::new(files::METADATA, &error.to_string(), "open the file again"))
}

fn ask_file(
    path: &Path,
    file: &File,
    inode: &Inode,
    cache: Option<Cache>,
) -> Result<FileFacts, Error> {
    let file_system = uninterrupted(|| rustix::fs::fstatfs(file))
        .map_err(|errno| Error::os(path, "fstatfs", &errno.into()))?;
    let page = rustix::param::page_size();
    let alignment = alignment(&file_system, page as u64);
    let answers = FileAnswers {
        device: inode.device,
        mount_id: inode.mount_id,
        magic: file_system_of(&file_system),
        blocks: file_system.f_blocks,
        dax_attribute: inode.dax_attribute,
        map_sync: map_sync(path, file, page)?,
        reach: Reach::of(cache),
        in_guest: cpu::is_guest(),
        data_cache_aliases: aliases(page as u64),
        page,
        alignment,
    };
    // A file that cannot be mapped at all, such as those of /proc, is refused. On hugetlbfs the question would need a
    // huge page.
    if answers.map_sync.is_err() && answers.magic != Some(HUGETLBFS) {
        mapping::probe(file.as_fd(), SHARED, page).map_err(|errno| unmapped(path, errno))?;
    }
    Ok(FileFacts {
        bounds: Bounds { size: inode.size, alignment, is_device: false },
        has_name: inode.has_name,
        may_be_of_a_lower_layer: answers.magic == Some("overlay") && may_be_of_a_lower_layer(file),
        answers: Answers::File(answers),
    })
}

/// Returns true for a file of overlayfs that was opened for reading only, through a mount that permits more.
fn may_be_of_a_lower_layer(file: &File) -> bool {
    let is_for_reading =
        rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY);
    let is_mounted_so = uninterrupted(|| rustix::fs::fstatvfs(file))
        .is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::RDONLY));
    is_for_reading && !is_mounted_so
}

fn ask_device(
    path: &Path,
    file: &File,
    device: Device,
    cache: Option<Cache>,
) -> Result<FileFacts, Error> {
    let unit = usize::try_from(device.alignment).unwrap_or(usize::MAX);
    let answers = DeviceAnswers {
        map_sync: map_sync(path, file, unit)?,
        reach: Reach::of(cache),
        in_guest: cpu::is_guest(),
    };
    Ok(FileFacts {
        bounds: Bounds { size: device.size, alignment: device.alignment, is_device: true },
        has_name: true,
        may_be_of_a_lower_layer: false,
        answers: Answers::Device(Box::new(device), answers),
    })
}

/// Asks about a new file in an open directory. No file is left there.
pub(in crate::dax) fn ask_directory(
    path: &Path,
    directory: &File,
    cache: Option<Cache>,
) -> Result<FileFacts, Error> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(directory, c".", flags, Mode::RUSR | Mode::WUSR);
    let unnamed = uninterrupted(open).map_err(|errno| match errno {
        Errno::OPNOTSUPP => Error::unsupported(
            path,
            "this file system has no unnamed files to try with; name a file in it",
        ),
        errno => Error::os(path, "open", &errno.into()),
    })?;
    Ok(FileFacts { has_name: true, ..ask(path, &unnamed.into(), cache)? })
}

/// Returns true if a path, which is not that of a regular file, is a device DAX that programs may use. The device is
/// not opened for this, since opening one can have effects.
pub(in crate::dax) fn is_device(path: &Path, there: &Metadata) -> Result<bool, Error> {
    let is_device = there.file_type().is_char_device();
    Ok(is_device && device::find(path, &Tree::host(), numbers(there.rdev()))?.is_some())
}

/// Returns true if the data cache of this machine is known to alias.
fn aliases(page: u64) -> bool {
    let found = aliasing::of_machine(&native::ARCHITECTURE.data_cache, &Tree::host(), &Ok(page));
    matches!(found, Aliasing::Yes { .. })
}

/// Returns the alignment of the offsets of a file's mappings: a page, or on hugetlbfs a huge page, to which the kernel
/// rounds lengths up (mmap(2), "Huge page (Huge TLB) mappings").
fn alignment(status: &StatFs, page: u64) -> u64 {
    // The type differs between architectures, as that of the magic number does.
    let block = u64::try_from(status.f_bsize).unwrap_or_default();
    let is_huge = file_system_of(status) == Some(HUGETLBFS) && block.is_power_of_two();
    if is_huge { block.max(page) } else { page }
}

pub(super) const HUGETLBFS: &str = "hugetlbfs";

/// `include/uapi/linux/magic.h`; ext4 has that of ext2 too.
const MAGIC: [(u32, &str); 16] = [
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x9584_58f6, HUGETLBFS),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x794c_7630, "overlay"),
    (0xf2f5_2010, "f2fs"),
    (0xca45_1a4e, "bcachefs"),
    // OpenZFS, `include/os/linux/zfs/sys/zfs_vfsops_os.h`.
    (0x2fc1_2fc1, "zfs"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    // Its own driver, the FUSE one, and the superblock (famfs, `src/famfs_meta.h`).
    (0x87b2_82fe, "famfs"),
    (0x87b2_82fd, "famfs"),
    (0x87b2_82ff, "famfs"),
];

/// Returns the file system's name by its magic number.
pub(super) fn file_system_of(status: &StatFs) -> Option<&'static str> {
    // 32 bits, in a type that differs between architectures and is signed on some.
    let magic = i128::from(status.f_type) & i128::from(u32::MAX);
    MAGIC.iter().find(|(number, _)| i128::from(*number) == magic).map(|(_, name)| *name)
}

/// Returns the kernel's answer to `MAP_SYNC`. Only these errors are refusals (mmap(2)), the last two by a system-call
/// filter; other errors say nothing about the file.
fn map_sync(path: &Path, file: &File, page: usize) -> Result<Result<(), Errno>, Error> {
    match mapping::probe(file.as_fd(), SYNCHRONOUS, page) {
        Ok(()) => Ok(Ok(())),
        Err(refusal @ (Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM | Errno::NOSYS)) => {
            Ok(Err(refusal))
        }
        Err(errno) => Err(unmapped(path, errno)),
    }
}

fn unmapped(path: &Path, errno: Errno) -> Error {
    Error::os(path, "mmap", &errno.into())
}
