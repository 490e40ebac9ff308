//! The instructions of M-mode, and of S-mode if permitted.

use core::arch::asm;

/// Drops the block that holds this address; its dirty bytes may be lost. If `envcfg.CBIE` is 01, it is written back
/// first.
///
/// # Safety
/// 1. The harts have Zicbom, and this is M-mode or `envcfg.CBIE` permits it in this mode.
/// 2. The byte at the address may be written.
/// 3. No one needs the dirty bytes of the block.
#[inline(always)]
pub unsafe fn discard(line: usize) {
    // SAFETY: (1) and (2) keep it from raising an exception, (3) makes the loss harmless; the encoding
    // is MISC-MEM, function 2, immediate 0 (RISC-V ISA manual, cmo.adoc).
    unsafe {
        asm!(".insn i 0x0f, 2, x0, {}, 0", in(reg) line, options(nostack, preserves_flags));
    };
}

/// Never called: the architecture has no operation on a whole cache.
///
/// # Safety
/// There is no instruction, so no call is correct.
pub unsafe fn writeback_invalidate_all() {}

/// Never called: the architecture has no operation on a whole cache.
///
/// # Safety
/// There is no instruction, so no call is correct.
pub unsafe fn writeback_all() {}
