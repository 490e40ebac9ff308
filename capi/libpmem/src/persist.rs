//! The steps of a write-back: flush, drain, and both.
//!
//! The drain is the fence that completes write-backs and streaming stores on this CPU. It is executed after every
//! instruction: CLFLUSH is not ordered with streaming stores, and on arm64 only DSB waits for DC CVAP.

use crate::failure::{Failure, Reason, errno};
use crate::machine::{Machine, Writeback, caches_survive_power_loss, machine};
use crate::system::page_size;
use core::ffi::{c_int, c_void};
use core::sync::atomic;

impl Machine {
    /// Issues the write-back of a range.
    ///
    /// # Safety
    /// 1. Each line of the range holds a byte of it that can be read.
    #[inline(always)]
    pub(crate) unsafe fn flush(&self, start: *const u8, len: usize) {
        match self.writeback {
            // SAFETY: (1) is the caller's duty. A program that does not drain has asked for no guarantee (2).
            Writeback::Lines(cache) => unsafe { cache.writeback_range_unfenced(start, len) },
            Writeback::Empty => {}
            // SAFETY: (1) is the caller's duty.
            Writeback::Short(_) => unsafe { self.flush_always(start, len) },
        }
    }

    /// Issues the write-back of a range even if the caches survive power loss.
    ///
    /// # Safety
    /// Same as [`flush`](Self::flush).
    #[inline(never)]
    pub(crate) unsafe fn flush_always(&self, start: *const u8, len: usize) {
        if let Some(short) = &self.short {
            short.report();
        }
        if let Some(cache) = self.cache {
            // SAFETY: (1) is the caller's duty. A program that does not drain has asked for no guarantee (2).
            unsafe { cache.writeback_range_unfenced(start, len) };
        }
    }

    /// Completes the write-backs and stores of this thread.
    #[inline(always)]
    pub(crate) fn drain(&self) {
        match self.cache {
            Some(cache) => cache.fence(),
            None => atomic::fence(atomic::Ordering::SeqCst),
        }
    }
}

/// Issues the write-back of a range. `pmem_drain` completes it.
///
/// # Safety
/// 1. The range is mapped and can be read.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_flush(start: *const c_void, len: usize) {
    // SAFETY: (1) is the caller's duty.
    unsafe { machine().flush(start.cast(), len) };
}

/// Issues the write-back of a range even if the caches survive power loss, or the environment says so.
///
/// # Safety
/// Same as [`pmem_flush`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_deep_flush(start: *const c_void, len: usize) {
    // SAFETY: (1) is the caller's duty.
    unsafe { machine().flush_always(start.cast(), len) };
}

/// Completes the write-backs and streaming stores that this thread has issued.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_drain() {
    machine().drain();
}

/// Makes the stores to a range persistent, if its memory is persistent.
///
/// # Safety
/// Same as [`pmem_flush`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_persist(start: *const c_void, len: usize) {
    let machine = machine();
    // SAFETY: (1) is the caller's duty.
    unsafe { machine.flush(start.cast(), len) };
    machine.drain();
}

/// Makes the kernel write back the pages that a range touches, and waits. Returns 0, or -1 with `errno`.
///
/// # Safety
/// None: the kernel refuses a range that is not mapped.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_msync(start: *const c_void, len: usize) -> c_int {
    match sync_pages(start.addr(), len) {
        Ok(()) => 0,
        Err(failure) => failure.returning(-1),
    }
}

/// Makes the kernel write back the pages that a range touches.
pub(crate) fn sync_pages(start: usize, len: usize) -> Result<(), Failure> {
    let before = start & (page_size() - 1);
    let (start, len) = (start - before, len.wrapping_add(before));
    // SAFETY: the call changes no memory.
    let result = unsafe { libc::msync(start as *mut c_void, len, libc::MS_SYNC) };
    if result == 0 {
        return Ok(());
    }
    let errno = errno();
    Err(Failure::new(
        errno,
        format_args!(
            "cannot write back {len} bytes at {start:#x}: {}; pass a range of a mapped file",
            Reason(errno)
        ),
    ))
}

/// Returns 1 if the caches survive power loss wherever this machine has persistent memory, otherwise 0. Returns 0 on a
/// machine that reports no persistent memory.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_has_auto_flush() -> c_int {
    caches_survive_power_loss().into()
}

/// Returns 0: no instruction drains the memory itself.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_has_hw_drain() -> c_int {
    0
}
