//! The instructions of PowerPC.
//!
//! The forms for persistent storage are written by their encodings, as Linux does
//! (`arch/powerpc/include/asm/ppc-opcode.h`: `dcbf` with the operation in bits 21 and up), since
//! assemblers know them from ISA 3.1 on only. Their address is in a fixed register for that. None is
//! marked `nomem` or `readonly`: the compiler must not move a store over a write-back or a fence.
//! `preserves_flags` holds: they write no register at all.
//!
//! Inline assembly for PowerPC is stable in Rust since 1.95.

use super::super::{Fence, Instruction};
use super::{DCBF, DCBF_PERSISTENT, DCBFPS, DCBST, DCBSTPS, PHWSYNC, SYNC};
use core::arch::asm;

/// Calls `then` with the instruction of this code, a constant in each branch.
#[inline(always)]
pub fn select<R>(code: u8, then: impl FnOnce(Instruction) -> R) -> R {
    if code & DCBST.code != 0 {
        then(DCBST)
    } else if code & DCBSTPS.code != 0 {
        then(DCBSTPS)
    } else if code & DCBFPS.code != 0 {
        then(DCBFPS)
    } else if code & DCBF_PERSISTENT.code != 0 {
        then(DCBF_PERSISTENT)
    } else {
        then(DCBF)
    }
}

/// Executes the instruction on the block that holds this address.
///
/// # Safety
/// 1. The CPU has the instruction.
/// 2. This thread may read the byte at the address.
#[inline(always)]
pub unsafe fn execute(instruction: Instruction, line: usize) {
    if instruction.code == DCBST.code {
        // SAFETY: it is not illegal by (1), and does not fault by (2); it changes no value that the program can see.
        unsafe { asm!("dcbst 0, {}", in(reg) line, options(nostack, preserves_flags)) };
    } else if instruction.code == DCBSTPS.code {
        // SAFETY: as for `dcbst`; dcbf 0, r3 with L=6.
        unsafe { asm!(".long 0x7cc018ac", in("r3") line, options(nostack, preserves_flags)) };
    } else if instruction.code == DCBFPS.code {
        // SAFETY: as for `dcbst`; dcbf 0, r3 with L=4.
        unsafe { asm!(".long 0x7c8018ac", in("r3") line, options(nostack, preserves_flags)) };
    } else {
        // SAFETY: as for `dcbst`; the two that are left are one instruction.
        unsafe { asm!("dcbf 0, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
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
