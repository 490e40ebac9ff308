//! The facts about an open file, by two or three system calls.

use super::super::{Access, DeviceDax, FileFacts, Unasked};
use super::{device, files};
use crate::system::calls::uninterrupted;
use crate::system::tree::Tree;
use alloc::boxed::Box;
use rustix::fs::{AtFlags, FileType, OFlags, StatFs, StatVfsMountFlags, Statx, StatxAttributes};
use rustix::fs::{StatxFlags, major, minor};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Asks about an open file, which must be a regular file or device DAX.
pub(in crate::dax) fn ask(file: &File) -> Result<FileFacts, Unasked> {
    let failed = |call, error: io::Error| super::super::Failed::new(call, &error);
    let inode = Inode::of(file).map_err(|error| failed(files::METADATA, error))?;
    let mut facts = FileFacts {
        size: inode.size,
        alignment: files::page_size() as u64,
        has_name: inode.has_name,
        may_be_of_a_lower_layer: false,
        file_system: "",
        device: inode.device,
        mount_id: inode.mount_id,
        dax_attribute: inode.dax_attribute,
        device_dax: None,
    };
    match inode.kind {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Unasked::Directory),
        FileType::CharacterDevice => {
            let (device, size, alignment) = device_dax(inode.own_device)?;
            (facts.size, facts.alignment, facts.has_name) = (size, alignment, true);
            facts.device_dax = Some(Box::new(device));
            return Ok(facts);
        }
        _ => return Err(Unasked::NotAFile),
    }
    let status = uninterrupted(|| rustix::fs::fstatfs(file))
        .map_err(|errno| failed("fstatfs", errno.into()))?;
    // Before anything is mapped: a file of a device can be its memory.
    if let Some(file_system) = named(&PSEUDO, &status) {
        return Err(Unasked::Pseudo(file_system));
    }
    facts.file_system = file_system_of(&status);
    if facts.file_system == "fuse" && is_famfs(&Tree::host(), facts.mount_id) {
        facts.file_system = "famfs";
    }
    facts.alignment = alignment(&status, facts.alignment);
    facts.may_be_of_a_lower_layer = facts.file_system == "overlay" && may_be_of_a_lower_layer(file);
    Ok(facts)
}

/// Returns true if a mount with this number is famfs by FUSE, which the magic number does not show.
fn is_famfs(tree: &Tree, mount_id: Option<u64>) -> bool {
    let Some(id) = mount_id else { return false };
    let mounts = tree.read(Path::new("/proc/thread-self/mountinfo"));
    let mut lines = mounts.value().unwrap_or_default().lines();
    let is_ours = |line: &&str| line.split(' ').next().and_then(|id| id.parse().ok()) == Some(id);
    lines.find(is_ours).is_some_and(|line| line.contains(" - fuse.famfs "))
}

/// Returns a device with its size and alignment, by its number.
fn device_dax(number: (u32, u32)) -> Result<(DeviceDax, u64, u64), Unasked> {
    let tree = Tree::host();
    let path = device::find(&tree, number).ok_or(Unasked::NotAFile)?;
    device::read(&tree, path).map_err(Unasked::Unusable)
}

/// Checks that a path, which is not that of a regular file, is device DAX that programs may use. The device is not
/// opened for this, since opening one can have effects.
pub(in crate::dax) fn device_dax_at(there: &Metadata) -> Result<(), Unasked> {
    if !there.file_type().is_char_device() {
        return Err(Unasked::NotAFile);
    }
    device_dax(numbers(there.rdev())).map(|_device| ())
}

/// Returns an unnamed file in an open directory, on which to ask about new files. `None` if there are none.
pub(in crate::dax) fn unnamed_in_directory(directory: &File) -> io::Result<Option<File>> {
    match files::unnamed_at(directory) {
        Ok(file) => Ok(Some(file)),
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns true for a file of overlayfs that was opened for reading only, through a mount that permits more.
fn may_be_of_a_lower_layer(file: &File) -> bool {
    let is_mounted_so = uninterrupted(|| rustix::fs::fstatvfs(file))
        .is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::RDONLY));
    files::access_of(file).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY)
        && !is_mounted_so
}

/// Returns the alignment of the offsets of a file's mappings: a page, or on hugetlbfs a huge page, to which the kernel
/// rounds lengths up (mmap(2), "Huge page (Huge TLB) mappings").
fn alignment(status: &StatFs, page: u64) -> u64 {
    // The type differs between architectures, as that of the magic number does.
    let block = u64::try_from(status.f_bsize).unwrap_or_default();
    let is_huge = file_system_of(status) == HUGETLBFS && block.is_power_of_two();
    if is_huge { block.max(page) } else { page }
}

pub(in crate::dax) const HUGETLBFS: &str = "hugetlbfs";

/// `include/uapi/linux/magic.h`; ext4 has that of ext2 and ext3 too.
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

/// File systems with files that store nothing: they show objects of the kernel, or are the memory of a device
/// (`include/uapi/linux/magic.h`; configfs, fusectl and mqueue: their own sources).
const PSEUDO: [(u32, &str); 20] = [
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0x6265_6570, "configfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0xcafe_4a11, "bpf"),
    (0x1cd1, "devpts"),
    (0x6165_676c, "pstore"),
    (0xde5e_81e4, "efivarfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4341_5d53, "smackfs"),
    (0x4249_4e4d, "binfmt_misc"),
    (0x6e73_6673, "nsfs"),
    (0x1980_0202, "mqueue"),
    (0x6573_5543, "fusectl"),
    (0x0765_5821, "resctrl"),
    (0xabba_1974, "xenfs"),
];

/// Returns the file system's name by its magic number; empty if this crate does not know it.
pub(super) fn file_system_of(status: &StatFs) -> &'static str {
    named(&MAGIC, status).unwrap_or_default()
}

fn named(list: &[(u32, &'static str)], status: &StatFs) -> Option<&'static str> {
    // 32 bits, in a type that differs between architectures and is signed on some.
    let magic = i128::from(status.f_type) & i128::from(u32::MAX);
    list.iter().find(|(number, _)| i128::from(*number) == magic).map(|(_, name)| *name)
}

/// Returns the name of the file system that a path is on.
pub(in crate::dax) fn file_system_of_path(path: &Path) -> &'static str {
    rustix::fs::statfs(path).map_or("", |status| file_system_of(&status))
}

/// The status of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inode {
    /// Its kind.
    pub(crate) kind: FileType,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// True if it has a name in a directory.
    pub(crate) has_name: bool,
    /// The numbers of the device of its file system.
    pub(crate) device: (u32, u32),
    /// Its own device numbers, if it is a device.
    pub(crate) own_device: (u32, u32),
    /// The number of the mount that it was opened on, in `/proc/thread-self/mountinfo`; Linux 5.8.
    pub(crate) mount_id: Option<u64>,
    /// The DAX attribute; `None` if the kernel, the file system or a system-call filter does not report it.
    pub(crate) dax_attribute: Option<bool>,
}

const ASKED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

impl Inode {
    /// Asks for the status of an open file. If a system-call filter refuses `statx`, `fstat` reports less.
    fn of(file: &File) -> io::Result<Self> {
        match uninterrupted(|| rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, ASKED)) {
            Ok(status) => Ok(Self::from(&status)),
            Err(_refused) => Ok(Self::from(&uninterrupted(|| file.metadata())?)),
        }
    }
}

impl From<&Statx> for Inode {
    fn from(status: &Statx) -> Self {
        let has = |fact: StatxFlags| status.stx_mask & fact.bits() != 0;
        let is_dax = status.stx_attributes.contains(StatxAttributes::DAX);
        let tells_dax = status.stx_attributes_mask.contains(StatxAttributes::DAX);
        Self {
            kind: FileType::from_raw_mode(status.stx_mode.into()),
            size: status.stx_size,
            has_name: status.stx_nlink > 0,
            device: (status.stx_dev_major, status.stx_dev_minor),
            own_device: (status.stx_rdev_major, status.stx_rdev_minor),
            mount_id: has(StatxFlags::MNT_ID).then_some(status.stx_mnt_id),
            dax_attribute: tells_dax.then_some(is_dax),
        }
    }
}

impl From<&Metadata> for Inode {
    fn from(status: &Metadata) -> Self {
        Self {
            kind: FileType::from_raw_mode(status.mode()),
            size: status.len(),
            has_name: status.nlink() > 0,
            device: numbers(status.dev()),
            own_device: numbers(status.rdev()),
            mount_id: None,
            dax_attribute: None,
        }
    }
}

/// Returns the two numbers of a device.
fn numbers(device: u64) -> (u32, u32) {
    (major(device), minor(device))
}

/// Returns the flags of an access.
pub(super) const fn flags_of(access: Access) -> OFlags {
    match access {
        Access::Read => OFlags::RDONLY,
        Access::ReadAndWrite => OFlags::RDWR,
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::is_famfs;
    use crate::system::tree::Tree;
    use cachemaint_test_support::fixture::Fixture;

    /// Linux `Documentation/filesystems/proc.rst`, 3.5.
    #[test]
    fn famfs_by_fuse_is_known_by_its_mount() {
        let mounts = "29 1 0:50 / /f rw - fuse.famfs none rw\n30 1 0:51 / /g rw - fuse.x none rw\n";
        let host = Fixture::new().file("proc/thread-self/mountinfo", mounts);
        let tree = Tree::at(host.root());
        assert_eq!([29, 30, 31].map(|id| is_famfs(&tree, Some(id))), [true, false, false]);
        assert!(!is_famfs(&tree, None));
    }
}
