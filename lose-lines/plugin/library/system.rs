//! Files through the C library. The compiler builds the plugin without other crates; the tool's `build.rs` says why.

#![expect(unsafe_code, reason = "the C library is called")]

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::slice;
use core::sync::atomic::AtomicU64;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd as _;

/// Values of Linux on a PC (`include/uapi/asm-generic/mman-common.h`, `include/uapi/linux/{fs,mman}.h`).
const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED: c_int = 1;
const SEEK_DATA: c_int = 3;
const SEEK_HOLE: c_int = 4;
/// `ENXIO`: nothing follows.
const NOTHING_FOLLOWS: i32 = 6;

unsafe extern "C" {
    pub(crate) fn mmap(
        at: *mut c_void,
        len: usize,
        access: c_int,
        kind: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    safe fn lseek(file: c_int, offset: i64, whence: c_int) -> i64;
}

/// A part of a file, mapped until the process ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping(&'static [AtomicU64]);

impl Mapping {
    /// Maps this part of a file, which must begin at a page.
    pub(crate) fn new(file: &File, offset: u64, len: usize) -> Result<Self> {
        let offset = i64::try_from(offset).map_err(Error::other)?;
        // SAFETY: a new mapping, at a place that the kernel finds.
        let start =
            unsafe { mmap(null_mut(), len, PROT_READ_WRITE, MAP_SHARED, file.as_raw_fd(), offset) };
        if start.addr() == usize::MAX {
            return Err(Error::last_os_error());
        }
        // SAFETY: the mapping has this length, begins at a page, and stays; everything in this process accesses it by whole
        // bytes or words that are atomic on the host.
        Ok(Self(unsafe { slice::from_raw_parts(start.cast(), len / 8) }))
    }

    pub(crate) const fn words(&self) -> &'static [AtomicU64] {
        self.0
    }
}

/// Returns the first offset at or after `at` with data, or `None` if only a hole follows.
pub(crate) fn data(file: &File, at: u64) -> Result<Option<u64>> {
    seek(file, at, SEEK_DATA)
}

/// Returns the first offset at or after `at` that is in a hole or at the end.
pub(crate) fn hole(file: &File, at: u64) -> Result<Option<u64>> {
    seek(file, at, SEEK_HOLE)
}

fn seek(file: &File, at: u64, whence: c_int) -> Result<Option<u64>> {
    let found = lseek(file.as_raw_fd(), i64::try_from(at).map_err(Error::other)?, whence);
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) => match Error::last_os_error() {
            error if error.raw_os_error() == Some(NOTHING_FOLLOWS) => Ok(None),
            error => Err(error),
        },
    }
}
