//! The instructions of ring 0.
//!
//! None is marked `nomem` or `readonly`: the compiler must not move accesses across them. None changes a flag (Intel
//! SDM vol. 2D).

use core::arch::asm;

/// Writes back and drops all lines of this CPU's caches.
///
/// # Safety
/// 1. This is ring 0.
/// 2. This is not a guest in which WBINVD is fatal (TDX).
pub unsafe fn writeback_invalidate_all() {
    // SAFETY: (1) and (2) keep it from raising an exception; it changes no value that a program sees.
    unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
}
