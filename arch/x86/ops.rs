//! The instructions of x86.
//!
//! They are written as `asm!` because `clwb` and `clflushopt` have no stable intrinsics. None of
//! them is marked `nomem` or `readonly`: the compiler must not move a store over a write-back or a
//! fence. `preserves_flags` holds, as none of them changes a flag (Intel SDM vol. 2A).

use super::super::{Fence, Instruction};
use super::{CLFLUSH, CLFLUSH_ORDERED, CLFLUSHOPT, CLWB, MFENCE, SFENCE};
use core::arch::asm;

/// Calls `then` with the instruction of this code, a constant in each branch.
#[inline(always)]
pub fn select<R>(code: u8, then: impl FnOnce(Instruction) -> R) -> R {
    if code & CLWB.code != 0 {
        then(CLWB)
    } else if code & CLFLUSHOPT.code != 0 {
        then(CLFLUSHOPT)
    } else if code & CLFLUSH_ORDERED.code != 0 {
        then(CLFLUSH_ORDERED)
    } else {
        then(CLFLUSH)
    }
}

/// Executes the instruction on the line that holds this address.
///
/// # Safety
/// 1. The CPU has the instruction.
/// 2. This thread may read the byte at the address.
#[inline(always)]
pub unsafe fn execute(instruction: Instruction, line: usize) {
    // The operand is the whole register, even where a pointer is half of one.
    #[cfg(target_arch = "x86_64")]
    let line = line as u64;
    if instruction.code == CLWB.code {
        // SAFETY: it is not undefined by (1), and does not fault by (2); it changes no value that the program can see.
        unsafe { asm!("clwb [{}]", in(reg) line, options(nostack, preserves_flags)) };
    } else if instruction.code == CLFLUSHOPT.code {
        // SAFETY: as for CLWB.
        unsafe { asm!("clflushopt [{}]", in(reg) line, options(nostack, preserves_flags)) };
    } else {
        // SAFETY: as for CLWB; the two that are left are one instruction.
        unsafe { asm!("clflush [{}]", in(reg) line, options(nostack, preserves_flags)) };
    }
}

/// Executes a fence of this architecture.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == SFENCE {
        // SAFETY: every CPU with CLFLUSH (SSE2) has SFENCE (SSE); it touches neither register nor value.
        unsafe { asm!("sfence", options(nostack, preserves_flags)) };
    } else if fence == MFENCE {
        // SAFETY: MFENCE came with CLFLUSH (SSE2); it touches neither register nor value.
        unsafe { asm!("mfence", options(nostack, preserves_flags)) };
    }
}
