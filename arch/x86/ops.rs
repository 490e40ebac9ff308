//! The instructions of x86.
//!
//! They are written as `asm!` because `clwb` and `clflushopt` have no stable intrinsics. None of
//! them is marked `nomem` or `readonly`: the compiler must not move a store over a write-back or a
//! fence. `preserves_flags` holds, as none of them changes a flag (Intel SDM vol. 2A).

use super::super::{Fence, Instruction};
use super::{CLFLUSH, CLFLUSH_ORDERED, CLFLUSHOPT, CLWB, MFENCE, SFENCE};
use core::arch::asm;

/// Returns the operand that holds an address: the whole register, even where a pointer is half of
/// one.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
const fn register(line: usize) -> u64 {
    line as u64
}

#[cfg(target_arch = "x86")]
#[inline(always)]
const fn register(line: usize) -> usize {
    line
}

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
    if instruction.code == CLWB.code {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { clwb(line) };
    } else if instruction.code == CLFLUSHOPT.code {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { clflushopt(line) };
    } else {
        // SAFETY: (1) and (2) are the caller's duties; the two that are left are one instruction.
        unsafe { clflush(line) };
    }
}

/// Executes a fence of this architecture.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == SFENCE {
        sfence();
    } else if fence == MFENCE {
        mfence();
    }
}

/// # Safety
/// As [`execute`].
#[inline(always)]
unsafe fn clwb(line: usize) {
    // SAFETY: the instruction is there and the byte readable, so it neither is undefined nor faults;
    // it changes no value that the program can see.
    unsafe { asm!("clwb [{}]", in(reg) register(line), options(nostack, preserves_flags)) };
}

/// # Safety
/// As [`execute`].
#[inline(always)]
unsafe fn clflushopt(line: usize) {
    // SAFETY: as for `clwb`.
    unsafe { asm!("clflushopt [{}]", in(reg) register(line), options(nostack, preserves_flags)) };
}

/// # Safety
/// As [`execute`].
#[inline(always)]
unsafe fn clflush(line: usize) {
    // SAFETY: as for `clwb`.
    unsafe { asm!("clflush [{}]", in(reg) register(line), options(nostack, preserves_flags)) };
}

#[inline(always)]
fn sfence() {
    // SAFETY: every CPU with CLFLUSH (SSE2) has SFENCE (SSE); it touches neither register nor value.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}

#[inline(always)]
fn mfence() {
    // SAFETY: MFENCE came with CLFLUSH (SSE2); it touches neither register nor value.
    unsafe { asm!("mfence", options(nostack, preserves_flags)) };
}
