//! Deep drains: the buffers of the memory itself are flushed.
//!
//! A file is synced, which has the kernel flush its region. A device's region is flushed by its attribute `deep_flush`.
//! PMDK returns 0 if that fails; here it is an error.

use crate::failure::{Failure, Reason};
use crate::machine::machine;
use crate::map;
use crate::persist::{pmem_deep_flush, sync_pages};
use core::ffi::{c_int, c_void};
use std::io;

/// Drains a range as deep as software can. Returns 0, or -1 with `errno`.
///
/// # Safety
/// None: the kernel refuses a range that is not mapped.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_deep_drain(start: *const c_void, len: usize) -> c_int {
    match drain(start.addr(), len) {
        Ok(()) => 0,
        Err(failure) => failure.returning(-1),
    }
}

/// Flushes a range as `pmem_deep_flush` does, and drains it. Returns 0, or -1 with `errno`.
///
/// # Safety
/// 1. The range is mapped and can be read.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_deep_persist(start: *const c_void, len: usize) -> c_int {
    // SAFETY: (1) is the caller's duty.
    unsafe { pmem_deep_flush(start, len) };
    pmem_deep_drain(start, len)
}

/// Drains the parts of a range, each by the method of its memory.
fn drain(start: usize, len: usize) -> Result<(), Failure> {
    let end = start.saturating_add(len);
    let mut at = start;
    while at < end {
        let Some((part, memory)) = map::first_in(&(at..end)) else {
            return sync_pages(at, end - at);
        };
        if part.start > at {
            sync_pages(at, part.start - at)?;
        }
        match memory.region {
            None => sync_pages(part.start, part.len())?,
            Some(region) => {
                machine().drain();
                region.flush().map_err(|error| not_flushed(&error))?;
            }
        }
        at = part.end;
    }
    Ok(())
}

fn not_flushed(error: &io::Error) -> Failure {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    Failure::new(
        errno,
        format_args!(
            "cannot flush the region of a device by its attribute deep_flush: {}; run the program as root, or rely on pmem_persist",
            Reason(errno)
        ),
    )
}
