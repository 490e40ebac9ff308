//! The instructions of EL1.
//!
//! None is marked `nomem` or `readonly`: the compiler must not move accesses across them. None writes NZCV.

pub use writeback_invalidate_all as writeback_all;

use super::super::aarch64::set_way::{self, Level};
use core::arch::asm;

/// `ID_AA64MMFR2_EL1.CCIDX`.
const CCIDX: u32 = 20;

/// Invalidates the line that holds this address; its dirty bytes may be lost.
///
/// # Safety
/// 1. The CPU is at EL1 or higher.
/// 2. The byte at the address may be written.
/// 3. No one needs the dirty bytes of the line.
#[inline(always)]
pub unsafe fn discard(line: usize) {
    // SAFETY: (1) and (2) keep it from raising an exception, (3) makes the loss harmless.
    unsafe { asm!("dc ivac, {}", in(reg) line as u64, options(nostack, preserves_flags)) };
}

/// Cleans and invalidates all lines of this CPU's data caches up to the level of coherency, by set and
/// way.
///
/// # Safety
/// 1. The CPU is at EL1 or higher.
/// 2. Nothing selects another cache in `CSSELR_EL1` meanwhile: neither an interrupt nor a move to another CPU.
pub unsafe fn writeback_invalidate_all() {
    dsb_sy();
    // SAFETY: (1) is the caller's duty.
    let clidr_el1 = unsafe { clidr_el1() };
    // SAFETY: (1) is the caller's duty.
    let ccidx = unsafe { id_aa64mmfr2_el1() } >> CCIDX & 0xf != 0;
    for number in set_way::levels(clidr_el1) {
        // SAFETY: (1) and (2) are the caller's duties; CLIDR_EL1 says that the level has a data cache.
        let ccsidr_el1 = unsafe { ccsidr_el1(number) };
        Level::new(number, ccsidr_el1, ccidx).operands().for_each(|operand| {
            // SAFETY: (1) is the caller's duty; the operand is of a line that CCSIDR_EL1 names.
            unsafe { dc_cisw(operand) };
        });
        dsb_sy();
    }
}

/// # Safety
/// 1. The CPU is at EL1 or higher.
/// 2. The operand names a set and a way of the level.
unsafe fn dc_cisw(operand: u64) {
    // SAFETY: (1) and (2) keep it from being undefined; it writes back the lines that it drops.
    unsafe { asm!("dc cisw, {}", in(reg) operand, options(nostack, preserves_flags)) };
}

/// Returns the geometry of the data or unified cache of a level.
///
/// # Safety
/// 1. The CPU is at EL1 or higher.
/// 2. The level has such a cache, and nothing writes `CSSELR_EL1` meanwhile.
unsafe fn ccsidr_el1(level: u32) -> u64 {
    let value;
    // SAFETY: (1) makes the registers accessible, (2) the value that of the level; ISB makes the
    // selection take effect before the read (Arm ARM, "Synchronization requirements for System
    // registers"). Selecting has no other effect.
    unsafe {
        asm!(
            "msr csselr_el1, {selection}",
            "isb",
            "mrs {value}, ccsidr_el1",
            selection = in(reg) u64::from(level) << 1,
            value = out(reg) value,
            options(nostack, preserves_flags),
        );
    };
    value
}

/// # Safety
/// 1. The CPU is at EL1 or higher.
unsafe fn clidr_el1() -> u64 {
    let value;
    // SAFETY: (1) makes the register readable; reading it has no effect.
    unsafe { asm!("mrs {}, clidr_el1", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// # Safety
/// 1. The CPU is at EL1 or higher.
unsafe fn id_aa64mmfr2_el1() -> u64 {
    let value;
    // SAFETY: (1) makes the register readable, by its encoding, which older assemblers know too: CPUs
    // before Armv8.2 read it as 0. Reading it has no effect.
    unsafe {
        asm!("mrs {}, s3_0_c0_c7_2", out(reg) value, options(nomem, nostack, preserves_flags));
    };
    value
}

fn dsb_sy() {
    // SAFETY: a barrier touches neither register nor value.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}
