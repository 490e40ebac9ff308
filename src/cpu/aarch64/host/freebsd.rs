//! Under FreeBSD: `CTR_EL0` and the auxiliary vector.
//!
//! It lets EL0 read `CTR_EL0` and execute DC CVAC and DC CIVAC: it sets `SCTLR_EL1.UCT` and `SCTLR_EL1.UCI`
//! (`sys/arm64/arm64/locore.S`). It reports DC CVAP and DC CVADP by the bits of Linux (`sys/arm64/include/elf.h`; kernels
//! before the correction that this file mentions have them elsewhere), if all CPUs have them
//! (`sys/arm64/arm64/identcpu.c`).
//!
//! A thread can be moved to another CPU between a write-back and the fence, which completes the operations of its own CPU.
//! A switch between two threads of one process executes no DSB (`sys/arm64/arm64/swtch.S`; `pmap.c`,
//! `pmap_activate_int`). So a thread that must not lose a line there is bound to a CPU (cpuset(1)).
//!
//! NetBSD and OpenBSD let EL0 execute them too, and do not identify the CPU: they are refused.
//!
//! This was compiled; it has not been run there.

use super::super::words::{HWCAP_ATOMICS, Words};
use super::midr_el1;
use crate::arch::aarch64::registers;

/// Returns the words read on the CPU this program runs on.
#[expect(unsafe_code, reason = "a register is read")]
pub(super) fn words() -> Words {
    let [hwcap, hwcap2] = [libc::AT_HWCAP, libc::AT_HWCAP2].map(auxv);
    Words {
        // SAFETY: the system lets EL0 read it (1).
        ctr_el0: unsafe { registers::ctr_el0() },
        hwcap,
        hwcap2,
        midr_el1: midr_el1(hwcap),
        may_break_cleans: hwcap & HWCAP_ATOMICS == 0,
        refusal: None,
    }
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
