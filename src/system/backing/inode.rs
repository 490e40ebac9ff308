//! The status of an open file, by one system call.

use crate::system::calls::uninterrupted;
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxAttributes, StatxFlags, major, minor};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The status of an open file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inode {
    pub(crate) kind: FileType,
    /// The size of the file in bytes.
    pub(crate) size: u64,
    /// True if the file has a name in a directory.
    pub(crate) has_name: bool,
    /// The numbers of the device of its file system.
    pub(crate) device: (u32, u32),
    /// The device numbers of the file itself, if it is a device.
    pub(crate) own_device: (u32, u32),
    /// The number of the mount that it was opened on, in `/proc/thread-self/mountinfo`; Linux 5.8.
    pub(crate) mount_id: Option<u64>,
    /// The DAX attribute; `None` if the kernel, the file system or a system-call filter does not report it.
    pub(crate) dax_attribute: Option<bool>,
}

const ASKED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

impl Inode {
    /// Asks for the status of an open file. If a system-call filter refuses `statx`, `fstat` reports less.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        match uninterrupted(|| rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, ASKED)) {
            Ok(status) => Ok(Self::from(&status)),
            Err(_refused) => Ok(Self::from(&uninterrupted(|| file.metadata())?)),
        }
    }

    /// Asks for the status of the file at an absolute path, through symbolic links. No right to the file itself is needed.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        match uninterrupted(|| rustix::fs::statx(CWD, path, AtFlags::empty(), ASKED)) {
            Ok(status) => Ok(Self::from(&status)),
            Err(_refused) => Ok(Self::from(&uninterrupted(|| path.metadata())?)),
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
pub(crate) fn numbers(device: u64) -> (u32, u32) {
    (major(device), minor(device))
}
