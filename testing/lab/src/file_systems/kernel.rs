//! Calls that no crate of this workspace offers.

#![expect(unsafe_code, reason = "sync_file_range(2) and an ioctl of btrfs")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Begins to write a range of a file back, and waits for the end if asked: `sync_file_range(2)`. No length is all.
pub(super) fn write_back(file: &File, (at, len): (i64, i64), waits: bool) -> io::Result<()> {
    let write = libc::SYNC_FILE_RANGE_WRITE;
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE | write | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let flags = if waits { all } else { write };
    // SAFETY: the call takes no pointer, and the descriptor is open.
    let code = unsafe { libc::sync_file_range(file.as_raw_fd(), at, len, flags) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Writes everything of a file system to its place, so that nothing is left in its journal: `FIFREEZE` and `FITHAW`
/// (linux/fs.h).
pub(super) fn settle(file: &File) -> io::Result<()> {
    for request in [0xc004_5877, 0xc004_5878] {
        // SAFETY: neither request reads or writes memory of this process.
        let code = unsafe { libc::ioctl(file.as_raw_fd(), request, 0) };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Commits btrfs's transaction without a write-back of data: `BTRFS_IOC_START_SYNC` and `BTRFS_IOC_WAIT_SYNC`
/// (linux/btrfs.h).
pub(super) fn commit_btrfs(file: &File) -> io::Result<()> {
    let mut transaction: u64 = 0;
    for request in [0x8008_9418, 0x4008_9416] {
        // SAFETY: both requests read or write 8 bytes, and `transaction` lives until the call returns.
        let code = unsafe { libc::ioctl(file.as_raw_fd(), request, &raw mut transaction) };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
