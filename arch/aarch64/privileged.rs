//! The instructions of EL1.
//!
//! None is marked `nomem` or `readonly`: the compiler must not move accesses across them. None writes NZCV.

use core::arch::asm;

/// Invalidates the line that holds this address; its dirty bytes may be lost.
///
/// # Safety
/// 1. The CPU is at EL1 or higher.
/// 2. The byte at the address may be written.
/// 3. No one needs the dirty bytes of the line.
#[inline(always)]
pub unsafe fn discard(line: usize) {
    // SAFETY: (1) and (2) keep it from raising an exception, (3) makes the loss harmless.
    unsafe { asm!("dc ivac, {}", in(reg) line as u64, options(nostack, preserves_flags)) };
}

/// Never called: the architecture has no operation on all caches.
///
/// # Safety
/// There is no instruction, so no call is correct.
pub unsafe fn writeback_invalidate_all() {}

/// Never called: the architecture has no operation on all caches.
///
/// # Safety
/// There is no instruction, so no call is correct.
pub unsafe fn writeback_all() {}
