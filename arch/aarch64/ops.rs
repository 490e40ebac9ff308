//! The instructions of arm64.
//!
//! `dc cvap` and `dc cvadp` are written by their SYS encodings, as Linux does
//! (`arch/arm64/include/asm/assembler.h`), since assemblers refuse the mnemonics unless the whole
//! crate is built for CPUs that have them. None is marked `nomem` or `readonly`: the compiler must
//! not move a store over a write-back or a barrier. `preserves_flags` holds: neither SYS nor a
//! barrier writes NZCV.

use super::super::{Fence, Instruction};
use super::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP, DMB_OSH, DSB_SY};
use core::arch::asm;

/// The operand that holds an address: the whole register, even where a pointer is half of one.
type Register = u64;

/// Calls `then` with the instruction of this code, a constant in each branch.
#[inline(always)]
pub fn select<R>(code: u8, then: impl FnOnce(Instruction) -> R) -> R {
    if code & DC_CVAC.code != 0 {
        then(DC_CVAC)
    } else if code & DC_CVAP.code != 0 {
        then(DC_CVAP)
    } else if code & DC_CVADP.code != 0 {
        then(DC_CVADP)
    } else {
        then(DC_CIVAC)
    }
}

/// Executes the instruction on the line that holds this address.
///
/// # Safety
/// 1. The CPU has the instruction and this exception level may execute it.
/// 2. This thread may read the byte at the address.
#[inline(always)]
pub unsafe fn execute(instruction: Instruction, line: usize) {
    if instruction.code == DC_CVAC.code {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { dc_cvac(line) };
    } else if instruction.code == DC_CVAP.code {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { dc_cvap(line) };
    } else if instruction.code == DC_CVADP.code {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { dc_cvadp(line) };
    } else {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { dc_civac(line) };
    }
}

/// Executes a fence of this architecture.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == DSB_SY {
        dsb_sy();
    } else if fence == DMB_OSH {
        dmb_osh();
    }
}

/// # Safety
/// As [`execute`].
#[inline(always)]
unsafe fn dc_cvac(line: usize) {
    // SAFETY: the instruction is permitted and the byte readable, so it neither is undefined nor
    // faults; it changes no value that the program can see.
    unsafe { asm!("dc cvac, {}", in(reg) line as Register, options(nostack, preserves_flags)) };
}

/// # Safety
/// As [`execute`].
#[inline(always)]
unsafe fn dc_cvap(line: usize) {
    // SAFETY: as for `dc_cvac`; the encoding is op1=3, CRn=7, CRm=12, op2=1 (Arm ARM, DC CVAP).
    unsafe {
        asm!("sys #3, c7, c12, #1, {}", in(reg) line as Register, options(nostack, preserves_flags));
    };
}

/// # Safety
/// As [`execute`].
#[inline(always)]
unsafe fn dc_cvadp(line: usize) {
    // SAFETY: as for `dc_cvac`; the encoding is op1=3, CRn=7, CRm=13, op2=1 (Arm ARM, DC CVADP).
    unsafe {
        asm!("sys #3, c7, c13, #1, {}", in(reg) line as Register, options(nostack, preserves_flags));
    };
}

/// # Safety
/// As [`execute`].
#[inline(always)]
unsafe fn dc_civac(line: usize) {
    // SAFETY: as for `dc_cvac`.
    unsafe { asm!("dc civac, {}", in(reg) line as Register, options(nostack, preserves_flags)) };
}

#[inline(always)]
fn dsb_sy() {
    // SAFETY: a barrier touches neither register nor value.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

#[inline(always)]
fn dmb_osh() {
    // SAFETY: a barrier touches neither register nor value.
    unsafe { asm!("dmb osh", options(nostack, preserves_flags)) };
}
