//! The instructions of PowerPC.
//!
//! The forms for persistent storage are written by their encodings, as Linux does
//! (`arch/powerpc/include/asm/ppc-opcode.h`: `dcbf` with the operation in bits 21 and up), since assemblers know them
//! only from ISA 3.1 on. Their address is therefore in a fixed register. None is marked `nomem` or `readonly`: the
//! compiler must not move a store over a write-back or a fence. `preserves_flags` holds: they write no register at all.
//!
//! Inline assembly for PowerPC is stable in Rust since 1.95.

use super::super::maintain::{Register, maintain};
use super::super::{Fence, Fences, Instruction, for_each_line};
use super::{DCBF, DCBF_PERSISTENT, DCBFPS, DCBST, DCBSTPS, PHWSYNC, SYNC};
use core::arch::asm;

maintain! {
    if DCBST => "dcbst 0, {}", reg;
    // dcbf 0, r3 with L=6.
    if DCBSTPS => ".long 0x7cc018ac", "r3";
    // dcbf 0, r3 with L=4.
    if DCBFPS => ".long 0x7c8018ac", "r3";
    if DCBF_PERSISTENT => "dcbf 0, {}", reg;
    else DCBF => "dcbf 0, {}", reg;
}

/// Executes a fence of this architecture.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == SYNC {
        // SAFETY: a fence touches neither register nor value.
        unsafe { asm!("sync", options(nostack, preserves_flags)) };
    } else if fence == PHWSYNC {
        // SAFETY: a fence touches neither register nor value; sync with L=4.
        unsafe { asm!(".long 0x7c8004ac", options(nostack, preserves_flags)) };
    }
}
