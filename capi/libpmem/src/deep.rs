//! Deep drains, which also flush the buffers of the memory itself.
//!
//! A file is synced, which makes the kernel flush its region. A device's region is flushed through its attribute
//! `deep_flush`. If that fails, PMDK returns 0; here it is an error.

use crate::cancellation;
use crate::failure::Failure;
use crate::machine::machine;
use crate::map::{self, Memory};
use crate::persist::{pmem_deep_flush, sync_pages};
use crate::system::page_size;
use cachemaint::dax::{Guarantee, Persister};
use core::ffi::{c_int, c_void};
use core::fmt;
use core::ptr::{NonNull, with_exposed_provenance_mut};

/// Drains a range as deeply as software can. Returns 0, or -1 with `errno`.
///
/// # Safety
/// 1. The parts of the range on a device are mapped and can be read. The kernel refuses other memory that is not
///    mapped.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_deep_drain(start: *const c_void, len: usize) -> c_int {
    let start = start.expose_provenance();
    // SAFETY: (1) is the caller's duty.
    match cancellation::held_off(|| unsafe { drain(start, len) }) {
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
    // SAFETY: as above.
    unsafe { pmem_deep_drain(start, len) }
}

/// Drains the parts of a range, each by the method for its memory.
///
/// # Safety
/// Same as [`pmem_deep_drain`].
unsafe fn drain(start: usize, len: usize) -> Result<(), Failure> {
    let end = start.saturating_add(len);
    let mut at = start;
    while at < end {
        let Some((part, memory)) = map::first_in(&(at..end)) else {
            return sync_pages(at, end - at);
        };
        if part.start > at {
            sync_pages(at, part.start - at)?;
        }
        match memory {
            Memory::File { .. } => sync_pages(part.start, part.len())?,
            // SAFETY: (1) is the caller's duty.
            Memory::Device(guarantee) => unsafe { flush_region(&guarantee, part.start) }?,
        }
        at = part.end;
    }
    Ok(())
}

/// Flushes the region of a device that is mapped at an address.
///
/// # Safety
/// 1. The byte there is mapped and can be read.
unsafe fn flush_region(guarantee: &Guarantee, at: usize) -> Result<(), Failure> {
    let failed = |errno, why: &dyn fmt::Display| {
        Failure::new(
            errno,
            format_args!(
                "cannot flush the region of a device: {why}; run as root, or rely on pmem_persist"
            ),
        )
    };
    machine().drain();
    // Any byte of the region flushes the whole region.
    let (page, within) = (page_size(), at % page_size());
    let Some(start) = NonNull::new(with_exposed_provenance_mut::<u8>(at - within)) else {
        return Err(failed(libc::EINVAL, &"nothing is mapped there"));
    };
    let bytes = NonNull::slice_from_raw_parts(start, page);
    // SAFETY: (1) the page is in a mapping of the device for reading and writing, which exists meanwhile (1); (2) a device's
    // mapping needs no MAP_SYNC.
    let persister = unsafe { Persister::new(guarantee, bytes, true) }
        .map_err(|why| failed(libc::ENOTSUP, &why))?;
    let within = within as u64;
    let flushed = persister.deep_persist(within..within + 1);
    flushed.map_err(|error| failed(error.raw_os_error().unwrap_or(libc::ENOTSUP), &error))
}
