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
    // The operand is the whole register, even where a pointer is half of one.
    let line = line as u64;
    if instruction.code == DC_CVAC.code {
        // SAFETY: it is not undefined by (1), and does not fault by (2); it changes no value that the program can see.
        unsafe { asm!("dc cvac, {}", in(reg) line, options(nostack, preserves_flags)) };
    } else if instruction.code == DC_CVAP.code {
        // SAFETY: as for `dc cvac`; the encoding is op1=3, CRn=7, CRm=12, op2=1 (Arm ARM, DC CVAP).
        unsafe { asm!("sys #3, c7, c12, #1, {}", in(reg) line, options(nostack, preserves_flags)) };
    } else if instruction.code == DC_CVADP.code {
        // SAFETY: as for `dc cvac`; the encoding is op1=3, CRn=7, CRm=13, op2=1 (Arm ARM, DC CVADP).
        unsafe { asm!("sys #3, c7, c13, #1, {}", in(reg) line, options(nostack, preserves_flags)) };
    } else {
        // SAFETY: as for `dc cvac`.
        unsafe { asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
}

/// Executes a fence of this architecture.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == DSB_SY {
        // SAFETY: a barrier touches neither register nor value.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    } else if fence == DMB_OSH {
        // SAFETY: a barrier touches neither register nor value.
        unsafe { asm!("dmb osh", options(nostack, preserves_flags)) };
    }
}
