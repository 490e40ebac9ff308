//! The instructions of RISC-V.
//!
//! They are written by their encodings (MISC-MEM, function 2, the operation in the immediate), since
//! assemblers refuse the mnemonics unless the whole crate is built for harts that have Zicbom. None is
//! marked `nomem` or `readonly`: the compiler must not move a store over a write-back or a fence.
//! `preserves_flags` holds: they write no register at all.

use super::super::{Fence, Instruction};
use super::{CBO_CLEAN, CBO_FLUSH, FENCE_IORW};
use core::arch::asm;

/// Calls `then` with the instruction of this code, a constant in each branch.
#[inline(always)]
pub fn select<R>(code: u8, then: impl FnOnce(Instruction) -> R) -> R {
    if code & CBO_CLEAN.code != 0 { then(CBO_CLEAN) } else { then(CBO_FLUSH) }
}

/// Executes the instruction on the block that holds this address.
///
/// # Safety
/// 1. The harts have the instruction and this mode may execute it.
/// 2. This thread may read the byte at the address.
#[inline(always)]
pub unsafe fn execute(instruction: Instruction, line: usize) {
    if instruction.code == CBO_CLEAN.code {
        // SAFETY: it raises no exception by (1) and (2), and changes no value that the program can see.
        unsafe {
            asm!(".insn i 0x0f, 2, x0, {}, 1", in(reg) line, options(nostack, preserves_flags));
        }
    } else {
        // SAFETY: as for `cbo.clean`.
        unsafe {
            asm!(".insn i 0x0f, 2, x0, {}, 2", in(reg) line, options(nostack, preserves_flags));
        }
    }
}

/// Executes a fence of this architecture.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == FENCE_IORW {
        // SAFETY: a fence touches neither register nor value.
        unsafe { asm!("fence iorw, iorw", options(nostack, preserves_flags)) };
    }
}
