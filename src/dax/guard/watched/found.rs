//! Names in directories, and the files that they name.

use super::super::descent;
use super::former::Moment;
use core::time::Duration;
use rustix::fs::{AtFlags, CWD, FileType, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The device and the number of an inode. Another file gets the number when this one is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// The time of the file's creation, on file systems that keep it.
    pub(super) born: Option<SystemTime>,
}

/// A name, and the kind of thing that it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) kind: FileType,
    pub(super) size: u64,
    /// The number of its names.
    pub(super) links: u32,
    /// True if it is mounted there; false before Linux 5.8.
    pub(super) is_mounted: bool,
}

impl Found {
    pub(super) fn at(directory: impl AsFd, name: &Path) -> Result<Self, Errno> {
        let found = rustix::fs::statx(
            directory,
            name,
            AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH,
            StatxFlags::BASIC_STATS | StatxFlags::BTIME,
        )?;
        let has_birth = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
        let seconds = u64::try_from(found.stx_btime.tv_sec).ok().filter(|_| has_birth);
        let birth = seconds.map(|seconds| Duration::new(seconds, found.stx_btime.tv_nsec));
        let device = rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor);
        let born = birth.and_then(|birth| UNIX_EPOCH.checked_add(birth));
        Ok(Self {
            identity: Identity { device, inode: found.stx_ino, born },
            kind: FileType::from_raw_mode(found.stx_mode.into()),
            size: found.stx_size,
            links: found.stx_nlink,
            is_mounted: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        })
    }

    pub(super) fn of(open: impl AsFd) -> Result<Self, Errno> {
        Self::at(open, Path::new(""))
    }

    pub(super) const fn device(&self) -> u64 {
        self.identity.device
    }
}

/// An open directory.
pub(super) struct Place<'a> {
    pub(super) open: BorrowedFd<'a>,
    pub(super) path: &'a Path,
    /// The device on which its files are; any, if none is given. A file that is mounted there is then taken, too.
    pub(super) device: Option<u64>,
    /// The moment of [`Entry::since`](super::Entry::since) for a new file.
    pub(super) since: Option<Moment>,
}

impl Place<'_> {
    /// Returns the thing of a name; the error `EXDEV`, if it is mounted there.
    pub(super) fn find(&self, name: &OsStr) -> Result<Found, Errno> {
        if self.device.is_none() {
            return Found::at(self.open, Path::new(name));
        }
        Found::of(descent::name(self.open, name)?)
    }

    /// Returns true for a regular file on the device.
    pub(super) fn takes(&self, found: &Found) -> bool {
        found.kind.is_file() && !self.is_elsewhere(found)
    }

    /// Returns true for a name at which something of another file system is mounted.
    pub(super) fn is_elsewhere(&self, found: &Found) -> bool {
        self.device.is_some_and(|device| device != found.device())
    }
}

pub(super) fn identity_at(path: &Path) -> Option<Identity> {
    Found::at(CWD, path).ok().map(|found| found.identity)
}
