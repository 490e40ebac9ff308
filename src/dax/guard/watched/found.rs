//! Names in directories, and the files that they name.

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

/// The device and the number of an inode.
pub(super) type Identity = (u64, u64);

/// A name, and the kind of thing that it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) kind: FileType,
    pub(super) size: u64,
}

impl Found {
    pub(super) fn at(directory: impl AsFd, name: &Path) -> Result<Self, Errno> {
        let found = rustix::fs::statx(
            directory,
            name,
            AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH,
            StatxFlags::BASIC_STATS,
        )?;
        let device = rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor);
        Ok(Self {
            identity: (device, found.stx_ino),
            kind: FileType::from_raw_mode(found.stx_mode.into()),
            size: found.stx_size,
        })
    }

    pub(super) fn of(open: impl AsFd) -> Result<Self, Errno> {
        Self::at(open, Path::new(""))
    }

    pub(super) const fn device(&self) -> u64 {
        self.identity.0
    }
}

/// An open directory.
pub(super) struct Place<'a> {
    pub(super) open: BorrowedFd<'a>,
    pub(super) path: &'a Path,
    /// The device on which its files are; any, if none is given.
    pub(super) device: Option<u64>,
    /// The value of [`Entry::since`](super::Entry::since) for a new file.
    pub(super) since: Option<Instant>,
}

impl Place<'_> {
    /// Returns true for a regular file on the device.
    pub(super) fn takes(&self, found: &Found) -> bool {
        found.kind.is_file() && self.device.is_none_or(|device| device == found.device())
    }
}

pub(super) fn identity_at(path: &Path) -> Option<Identity> {
    Found::at(CWD, path).ok().map(|found| found.identity)
}
