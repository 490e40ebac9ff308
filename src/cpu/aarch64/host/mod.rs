//! Asking about the CPU this program runs on.

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod linux;
        use linux as system;
    } else if #[cfg(target_os = "freebsd")] {
        mod freebsd;
        use freebsd as system;
    } else {
        mod refused;
        use refused as system;
    }
}

use super::words;
use crate::cpu::Cpu;

/// Returns the CPU this program runs on.
pub(crate) fn here() -> Cpu {
    words::read(system::words())
}

/// Returns `MIDR_EL1`, if the kernel answers reads of it.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
#[expect(unsafe_code, reason = "a register is read")]
fn midr_el1(hwcap: u64) -> Option<u64> {
    /// Linux `arch/arm64/include/uapi/asm/hwcap.h`, FreeBSD `sys/arm64/include/elf.h`: MRS of ID registers works at EL0.
    const HWCAP_CPUID: u64 = 1 << 11;

    // SAFETY: the kernel says that it answers (1).
    (hwcap & HWCAP_CPUID != 0).then(|| unsafe { crate::arch::aarch64::registers::midr_el1() })
}

/// Returns this CPU, from its ID registers.
///
/// # Safety
/// 1. The CPU is at EL1 or higher.
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "the caller vouches for the exception level")]
pub(crate) unsafe fn here_privileged() -> Cpu {
    use super::el1::{IdRegisters, read};
    use crate::arch::aarch64::registers;

    read(IdRegisters {
        // SAFETY: (1) is the caller's duty.
        ctr_el0: unsafe { registers::ctr_el0() },
        // SAFETY: (1) is the caller's duty.
        id_aa64isar1_el1: unsafe { registers::id_aa64isar1_el1() },
        // SAFETY: (1) is the caller's duty.
        midr_el1: unsafe { registers::midr_el1() },
    })
}
