//! The instructions of x86.
//!
//! They are written as `asm!` because `clwb` and `clflushopt` have no stable intrinsics. None of them is marked `nomem`
//! or `readonly`: the compiler must not move a store over a write-back or a fence. `preserves_flags` holds, since none
//! of them changes a flag (Intel SDM vol. 2A).

use super::super::maintain::{Register, maintain};
use super::super::{Fence, Fences, Instruction, for_each_line};
use super::{CLFLUSH, CLFLUSH_ORDERED, CLFLUSHOPT, CLWB, MFENCE, SFENCE};
use core::arch::asm;

maintain! {
    if CLWB => "clwb [{}]", reg;
    if CLFLUSHOPT => "clflushopt [{}]", reg;
    if CLFLUSH_ORDERED => "clflush [{}]", reg;
    else CLFLUSH => "clflush [{}]", reg;
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
