//! Registers, read by MRS.

use core::arch::asm;

/// `CTR_EL0`: at EL0 read directly, or trapped and answered by the kernel.
pub(super) fn ctr_el0() -> u64 {
    let value;
    // SAFETY: reading it has no effect. At EL1 it can be read, and this is compiled otherwise for
    // systems only that let EL0 read it: see their rooms.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// `MIDR_EL1`: at EL1, or at EL0 under a kernel that sets `HWCAP_CPUID` and answers.
pub(super) fn midr_el1() -> u64 {
    let value;
    // SAFETY: reading it has no effect; its callers know that it can be read.
    unsafe { asm!("mrs {}, midr_el1", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// `ID_AA64ISAR1_EL1`.
///
/// # Safety
/// 1. The CPU is at EL1 or higher.
#[cfg(feature = "privileged")]
pub(super) unsafe fn id_aa64isar1_el1() -> u64 {
    let value;
    // SAFETY: (1) makes the register readable; reading it has no effect.
    unsafe {
        asm!("mrs {}, id_aa64isar1_el1", out(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}
