//! The instructions of RISC-V.
//!
//! They are written by their encodings (MISC-MEM, function 2, the operation in the immediate), since
//! assemblers refuse the mnemonics unless the whole crate is built for harts that have Zicbom. None is
//! marked `nomem` or `readonly`: the compiler must not move a store over a write-back or a fence.
//! `preserves_flags` holds: they write no register at all.

use super::super::maintain::{Register, maintain};
use super::super::{Fence, Fences, Instruction, for_each_line};
use super::{CBO_CLEAN, CBO_FLUSH, FENCE_IORW};
use core::arch::asm;

maintain! {
    if CBO_CLEAN => ".insn i 0x0f, 2, x0, {}, 1", reg;
    else CBO_FLUSH => ".insn i 0x0f, 2, x0, {}, 2", reg;
}

/// Executes a fence of this architecture.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == FENCE_IORW {
        // SAFETY: a fence touches neither register nor value.
        unsafe { asm!("fence iorw, iorw", options(nostack, preserves_flags)) };
    }
}
