//! The syncs of NetBSD that reach the medium. Its `fsync` and `fdatasync` leave the drive's cache alone (`fsync(2)`).
//!
//! # Why this file is unsafe
//! It calls a function of the C library that no crate declares.

use core::ffi::c_int;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

// `sys/sys/unistd.h`.
const DATA: c_int = 0x10;
const DATA_AND_METADATA: c_int = 0x20;
const DRIVE: c_int = 0x40;

// The declaration is that of `fsync(2)`, whose offsets have 64 bits on each machine.
unsafe extern "C" {
    fn fsync_range(file: c_int, how: c_int, start: i64, len: i64) -> c_int;
}

/// Syncs the bytes of a file that is open for writing, and the metadata that their reading needs.
pub(in crate::dax) fn sync_data(file: &File) -> io::Result<()> {
    sync(file, DATA)
}

/// Syncs a file. If it is open for reading only, the system refuses to flush the drive's cache, and this leaves that
/// out: a view promises no persistence.
pub(in crate::dax) fn sync_all(file: &File) -> io::Result<()> {
    match sync(file, DATA_AND_METADATA) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::BADF) => file.sync_all(),
        synced => synced,
    }
}

fn sync(file: &File, how: c_int) -> io::Result<()> {
    // SAFETY: the call accesses no memory of this process. A length of 0 stands for the whole file.
    let outcome = unsafe { fsync_range(file.as_raw_fd(), how | DRIVE, 0, 0) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
