//! Under FreeBSD, NetBSD and OpenBSD: `CTR_EL0`, and on FreeBSD the auxiliary vector.
//!
//! All three let EL0 read `CTR_EL0` and execute DC CVAC and DC CIVAC: they set `SCTLR_EL1.UCT` and `SCTLR_EL1.UCI`
//! (FreeBSD `sys/arm64/arm64/locore.S`, NetBSD `sys/arch/aarch64/aarch64/locore.S`, OpenBSD
//! `sys/arch/arm64/arm64/locore.S`). FreeBSD reports DC CVAP and DC CVADP by the bits of Linux
//! (`sys/arm64/include/elf.h`; kernels before the correction that this file mentions have them elsewhere), if all CPUs
//! have them (`sys/arm64/arm64/identcpu.c`). The other two systems are not asked, so nothing reaches the point of
//! persistence there.
//!
//! This was compiled; it has not been run on these systems.

use super::super::words::Words;
use crate::arch::aarch64::registers;

/// FreeBSD `sys/arm64/include/elf.h`: MRS of ID registers works at EL0.
const HWCAP_CPUID: u64 = 1 << 11;

/// Returns the words read on the CPU this program runs on.
#[expect(unsafe_code, reason = "a register is read")]
pub(super) fn words() -> Words {
    let [hwcap, hwcap2] = capabilities();
    Words {
        // SAFETY: the three systems let EL0 read it (1).
        ctr_el0: unsafe { registers::ctr_el0() },
        hwcap,
        hwcap2,
        midr_el1: midr_el1(hwcap),
        has_cortex_a53: false,
        refusal: None,
    }
}

/// Returns `MIDR_EL1`, if the kernel answers reads of it.
#[expect(unsafe_code, reason = "a register is read")]
fn midr_el1(hwcap: u64) -> Option<u64> {
    // SAFETY: the kernel says that it answers (1).
    (hwcap & HWCAP_CPUID != 0).then(|| unsafe { registers::midr_el1() })
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "freebsd")] {
        /// Returns `AT_HWCAP` and `AT_HWCAP2`.
        fn capabilities() -> [u64; 2] {
            [libc::AT_HWCAP, libc::AT_HWCAP2].map(auxv)
        }

        #[expect(unsafe_code, reason = "the auxiliary vector is read through libc")]
        fn auxv(kind: libc::c_int) -> u64 {
            const SIZE: libc::c_int = 8;
            let mut word = 0_u64;
            // SAFETY: elf_aux_info(3) writes `SIZE` bytes at the address, and they are there.
            let failed = unsafe { libc::elf_aux_info(kind, (&raw mut word).cast(), SIZE) };
            // A word that the kernel did not pass permits nothing.
            if failed == 0 { word } else { 0 }
        }
    } else {
        /// Returns zeros: these systems are not asked.
        const fn capabilities() -> [u64; 2] {
            [0; 2]
        }
    }
}
