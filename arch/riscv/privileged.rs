//! The instructions of M-mode, and of S-mode where it is let.

use core::arch::asm;

/// Drops the block that holds this address; bytes of it that are dirty may be lost. Where `envcfg.CBIE`
/// is 01 it is written back first.
///
/// # Safety
/// 1. The harts have Zicbom, and this is M-mode or `envcfg.CBIE` lets this mode execute it.
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

/// Is never reached: the architecture has no operation on a whole cache.
///
/// # Safety
/// There is no instruction, so this cannot be called rightly.
pub unsafe fn writeback_invalidate_all() {}

/// Is never reached: the architecture has no operation on a whole cache.
///
/// # Safety
/// There is no instruction, so this cannot be called rightly.
pub unsafe fn writeback_all() {}
