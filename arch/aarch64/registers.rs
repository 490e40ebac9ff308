//! Registers of arm64, read by MRS.

use core::arch::asm;

/// Returns `CTR_EL0`.
///
/// # Safety
/// 1. The CPU is at EL1 or higher, or its operating system lets EL0 read the register, or emulates the read.
pub unsafe fn ctr_el0() -> u64 {
    let value;
    // SAFETY: (1) makes the register readable; reading it has no effect.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Returns `MIDR_EL1`.
///
/// # Safety
/// 1. The CPU is at EL1 or higher, or its kernel emulates reads at EL0 (`HWCAP_CPUID`).
pub unsafe fn midr_el1() -> u64 {
    let value;
    // SAFETY: (1) makes the register readable; reading it has no effect.
    unsafe { asm!("mrs {}, midr_el1", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Returns `ID_AA64ISAR1_EL1`.
///
/// # Safety
/// 1. The CPU is at EL1 or higher.
pub unsafe fn id_aa64isar1_el1() -> u64 {
    let value;
    // SAFETY: (1) makes the register readable; reading it has no effect.
    unsafe {
        asm!("mrs {}, id_aa64isar1_el1", out(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}
