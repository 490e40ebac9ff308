//! The instructions of arm64.
//!
//! `dc cvap` and `dc cvadp` are written by their SYS encodings, as Linux does
//! (`arch/arm64/include/asm/assembler.h`), since assemblers refuse the mnemonics unless the whole
//! crate is built for CPUs that have them. None is marked `nomem` or `readonly`: the compiler must
//! not move a store over a write-back or a barrier. `preserves_flags` holds: neither SYS nor a
//! barrier writes NZCV.

use super::super::maintain::{Register, maintain};
use super::super::{Fence, Fences, Instruction, for_each_line};
use super::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP, DMB_OSH, DSB_SY};
use core::arch::asm;

maintain! {
    if DC_CVAC => "dc cvac, {}", reg;
    // op1=3, CRn=7, CRm=12, op2=1 (Arm ARM, DC CVAP).
    if DC_CVAP => "sys #3, c7, c12, #1, {}", reg;
    // op1=3, CRn=7, CRm=13, op2=1 (Arm ARM, DC CVADP).
    if DC_CVADP => "sys #3, c7, c13, #1, {}", reg;
    else DC_CIVAC => "dc civac, {}", reg;
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
