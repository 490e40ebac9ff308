//! Cache operations on the memory of C programs.
//!
//! # Why this file is unsafe
//! It trusts the caller that each range is mapped, and that no other thread uses a copy's target.

use crate::arguments::{self, CDestination, CRange, memory};
use crate::cancellation;
use crate::error::{Failure, number};
use cachemaint::Cache;
use core::ffi::{c_int, c_uchar, c_void};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

/// Writes a range back.
///
/// # Safety
/// 1. The range is null or mapped.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_cache_writeback(
    address: *const c_void,
    length: usize,
) -> c_int {
    number(checked("address", address, length).map(|cache| {
        // SAFETY: (1) is the caller's duty, and the range does not wrap.
        unsafe { cache.writeback_range(address.cast(), length) };
    }))
}

/// Drops a range from the caches.
///
/// # Safety
/// 1. The range is null or mapped.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_cache_invalidate(
    address: *mut c_void,
    length: usize,
) -> c_int {
    number(checked("address", address, length).map(|cache| {
        // SAFETY: (1) is the caller's duty, and the range does not wrap; (2) no Rust code knows the bytes.
        unsafe { cache.invalidate_range(address.cast(), length) };
    }))
}

/// Writes a range back and drops it from the caches.
///
/// # Safety
/// 1. The range is null or mapped.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_cache_writeback_invalidate(
    address: *const c_void,
    length: usize,
) -> c_int {
    number(checked("address", address, length).map(|cache| {
        // SAFETY: (1) is the caller's duty, and the range does not wrap.
        unsafe { cache.writeback_invalidate_range(address.cast(), length) };
    }))
}

/// Writes several ranges back under one fence.
///
/// # Safety
/// 1. `ranges` is null or holds `count` ranges, each null or mapped.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_cache_writeback_ranges(
    ranges: *const CRange,
    count: usize,
) -> c_int {
    // SAFETY: (1) is the caller's duty.
    number(unsafe { writeback_ranges(ranges, count) })
}

/// Orders stores of other threads that this thread has observed before its next operations.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn cachemaint_cache_order_observed() -> c_int {
    number(host().map(Cache::order_observed))
}

/// Copies bytes and writes them back.
///
/// # Safety
/// 1. Both ranges are null or mapped, `to` for writing. No other thread uses `to` or writes `from` meanwhile.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_cache_copy(
    to: *mut c_void,
    from: *const c_void,
    length: usize,
    destination: CDestination,
) -> c_int {
    let copied = || {
        memory("from", from, length)?;
        let cache = checked("to", to, length)?;
        let copies = cache.copier(Some(destination.checked()?), true);
        if length > 0 {
            // SAFETY: (1) and (2) are the caller's duties.
            unsafe { copies.copy(to.cast(), from.cast(), length) };
        }
        cache.fence();
        Ok(())
    };
    number(copied())
}

/// Sets bytes and writes them back.
///
/// # Safety
/// 1. The range is null or mapped for writing. No other thread uses it meanwhile.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_cache_fill(
    to: *mut c_void,
    byte: c_uchar,
    length: usize,
    destination: CDestination,
) -> c_int {
    let filled = || {
        let cache = checked("to", to, length)?;
        let copies = cache.copier(Some(destination.checked()?), true);
        if length > 0 {
            // SAFETY: (1) and (2) are the caller's duties.
            unsafe { copies.fill(to.cast(), length, byte) };
        }
        cache.fence();
        Ok(())
    };
    number(filled())
}

/// Writes ranges back, after checking all of them.
///
/// # Safety
/// 1. As for [`cachemaint_cache_writeback_ranges`].
unsafe fn writeback_ranges(ranges: *const CRange, count: usize) -> Result<(), Failure> {
    // SAFETY: (1) is the caller's duty.
    let ranges = unsafe { arguments::ranges(ranges, count) }?;
    ranges.clone().try_for_each(|range| memory("a range", range.address, range.length))?;
    host()?.batch(|batch| {
        for range in ranges {
            // SAFETY: (1) is the caller's duty, and the range does not wrap; (2) the batch ends in this call.
            unsafe { batch.writeback_range(range.address.cast(), range.length) };
        }
    });
    Ok(())
}

/// Returns the caches, after a range was checked.
#[inline]
fn checked(name: &str, address: *const c_void, length: usize) -> Result<Cache, Failure> {
    memory(name, address, length)?;
    host()
}

/// Returns the caches.
#[inline]
fn host() -> Result<Cache, Failure> {
    /// True once the choice was made: on some CPUs this reads files.
    static IS_CHOSEN: AtomicBool = AtomicBool::new(false);
    if IS_CHOSEN.load(Relaxed) {
        return Ok(Cache::host()?);
    }
    let cache = cancellation::held_off(Cache::host)?;
    IS_CHOSEN.store(true, Relaxed);
    Ok(cache)
}
