//! Reads the CPU that this program runs on.
//!
//! Linux lets EL0 read `CTR_EL0`, or traps the read and answers with values that hold for all CPUs of the machine
//! (`arch/arm64/kernel/traps.c`, `ctr_read_handler`, since 4.9). `HWCAP_DCPOP` is set only if all CPUs have DC CVAP
//! (`arch/arm64/kernel/cpufeature.c`). `MIDR_EL1` describes the executing CPU.
//!
//! Other systems are not known to let EL0 maintain caches on this CPU: nothing is read, since `CTR_EL0` may be
//! inaccessible too.

use super::words::{self, Words};
use crate::cpu::Cpu;

/// Returns the CPU that this program runs on.
pub(crate) fn here() -> Cpu {
    words::read(system::words())
}

#[cfg(target_os = "linux")]
mod system {
    use super::Words;
    use crate::arch::aarch64::registers;

    /// Linux `arch/arm64/include/uapi/asm/hwcap.h`: MRS of ID registers works at EL0.
    const HWCAP_CPUID: u64 = 1 << 11;
    /// The same: all CPUs have the atomic instructions of Armv8.1, which the cores with clean errata lack.
    const HWCAP_ATOMICS: u64 = 1 << 8;

    #[expect(unsafe_code, reason = "registers are read")]
    pub(super) fn words() -> Words {
        let (hwcap, hwcap2) = (auxv(libc::AT_HWCAP), auxv(libc::AT_HWCAP2));
        let midr_el1 = (hwcap & HWCAP_CPUID != 0).then(|| {
            // SAFETY: the kernel says that it answers (1).
            unsafe { registers::midr_el1() }
        });
        Words {
            // SAFETY: Linux lets EL0 read it, or traps the read and answers (1).
            ctr_el0: unsafe { registers::ctr_el0() },
            hwcap,
            hwcap2,
            midr_el1,
            has_vdso: auxv(libc::AT_SYSINFO_EHDR) != 0,
            may_break_cleans: hwcap & HWCAP_ATOMICS == 0 && may_break_cleans(),
            refusal: None,
        }
    }

    /// Returns true if another CPU must not clean, or is unknown. Without `std` the other CPUs are not checked.
    fn may_break_cleans() -> bool {
        cfg_if::cfg_if! {
            if #[cfg(feature = "std")] {
                super::super::sysfs::may_break_cleans(std::path::Path::new("/"))
            } else {
                true
            }
        }
    }

    /// Returns a word of the auxiliary vector. ILP32 has words of 32 bits, which contain all bits needed here.
    #[expect(unsafe_code, reason = "the auxiliary vector is read through libc")]
    #[cfg_attr(
        target_pointer_width = "64",
        expect(clippy::useless_conversion, reason = "ILP32 has words of 32 bits")
    )]
    fn auxv(kind: libc::c_ulong) -> u64 {
        // SAFETY: getauxval has no precondition; it gives 0 for a word that the kernel did not
        // pass, which is the answer that permits nothing.
        u64::from(unsafe { libc::getauxval(kind) })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Words;
    use super::words::MAINTENANCE_IS_DISABLED;
    use crate::arch::advice::LEAVE_IT_TO_THE_SYSTEM;
    use crate::arch::{Missing, Unsupported};

    pub(super) fn words() -> Words {
        let why = if cfg!(windows) {
            WINDOWS
        } else if cfg!(target_vendor = "apple") {
            MAINTENANCE_IS_DISABLED
        } else {
            OTHER
        };
        Words { refusal: Some(why), ..Words::default() }
    }

    /// Microsoft documents nothing about it. Programs that tried were stopped: Ryujinx pull request 6326
    /// (DC, IC and the reading of `CTR_EL0`), UPX issue 650.
    const WINDOWS: Unsupported = Unsupported::new(
        Missing::Permission,
        "Windows on arm64 is not known to let user mode maintain caches: programs that tried were stopped",
        LEAVE_IT_TO_THE_SYSTEM,
    );

    /// A CPU that the system does not identify can be one of Apple's, where the instructions can do nothing.
    const OTHER: Unsupported = Unsupported::new(
        Missing::Permission,
        "on arm64 the operating system decides what user mode may execute and know about the CPU, and this crate can \
         only ask Linux",
        "use Cache::privileged (feature `privileged`) at EL1, or Cache::from_facts if the system permits it on this CPU",
    );
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
