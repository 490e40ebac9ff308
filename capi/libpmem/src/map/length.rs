//! The length of a file: its current one, and its new one.

use super::{SPARSE, failed, invalid};
use crate::failure::{Failure, Path, errno};
use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use std::fs::File;
use std::os::fd::AsRawFd as _;

// An offset has 32 bits in the plain calls of a 32-bit system.
#[cfg(not(target_pointer_width = "32"))]
use libc::{ftruncate, off_t as Offset, posix_fallocate};
#[cfg(target_pointer_width = "32")]
use libc::{ftruncate64 as ftruncate, off64_t as Offset, posix_fallocate64 as posix_fallocate};

/// Sets the length of the file, and allocates it unless it should be sparse.
pub(super) fn resize(path: &CStr, file: &File, len: usize, flags: c_int) -> Result<usize, Failure> {
    let Ok(length) = Offset::try_from(len) else {
        return Err(failed("resize", path, libc::EINVAL, "pass a smaller length"));
    };
    // SAFETY: the file is open.
    if unsafe { ftruncate(file.as_raw_fd(), length) } != 0 {
        return Err(failed("resize", path, errno(), "free some space, or pass a smaller length"));
    }
    if flags & SPARSE == 0 {
        allocate(file, length).map_err(|errno| {
            let advice = "free some space, or pass PMEM_FILE_SPARSE";
            failed("allocate the space of", path, errno, advice)
        })?;
    }
    Ok(len)
}

/// Allocates the first `length` bytes of a file, all at once if possible, since some file systems then check for all of
/// the space first. If a signal interrupts that, or memory for it is short, it continues in pieces: some file systems
/// then undo the whole call, so that a large one might never finish.
fn allocate(file: &File, length: Offset) -> Result<(), c_int> {
    const LARGEST: Offset = 1 << 30;
    const SMALLEST: Offset = 1 << 20;
    const MOST_INTERRUPTIONS: u32 = 1000;
    let (mut at, mut piece, mut interruptions) = (0, length, 0);
    while at < length {
        let len = piece.min(length - at);
        // SAFETY: the file is open.
        match unsafe { posix_fallocate(file.as_raw_fd(), at, len) } {
            0 => (at, interruptions) = (at + len, 0),
            libc::EINTR | libc::ENOMEM if piece > SMALLEST => {
                piece = (piece / 2).clamp(SMALLEST, LARGEST);
            }
            libc::EINTR if interruptions < MOST_INTERRUPTIONS => interruptions += 1,
            errno => return Err(errno),
        }
    }
    Ok(())
}

/// Returns the length of a file that can be mapped as a whole.
pub(super) fn file_len(path: &CStr, file: &File) -> Result<usize, Failure> {
    let mut status = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the file is open, and the status can be written.
    if unsafe { libc::fstat64(file.as_raw_fd(), status.as_mut_ptr()) } != 0 {
        return Err(failed("find the length of", path, errno(), "try again"));
    }
    // SAFETY: the call succeeded, so it is written.
    let len = unsafe { status.assume_init() }.st_size;
    usize::try_from(len).map_err(|_large| {
        let path = Path(path);
        invalid(format_args!(
            "cannot map {path}: it is larger than the address space; pass a smaller file"
        ))
    })
}
