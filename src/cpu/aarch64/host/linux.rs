//! Under Linux: `CTR_EL0`, which EL0 can read, and the auxiliary vector.
//!
//! Linux lets EL0 read `CTR_EL0`, or traps the read and answers with values that hold for all CPUs of
//! the machine (`arch/arm64/kernel/traps.c`, `ctr_read_handler`). `HWCAP_DCPOP` is set only if all
//! CPUs have DC CVAP (`arch/arm64/kernel/cpufeature.c`). `MIDR_EL1` is that of the CPU that is executing.

use super::super::words::{HWCAP_ATOMICS, Words};
use super::midr_el1;
use crate::arch::aarch64::registers;

/// Returns the words read on the CPU this program runs on.
#[expect(unsafe_code, reason = "a register is read")]
pub(super) fn words() -> Words {
    let (hwcap, hwcap2) = (auxv(libc::AT_HWCAP), auxv(libc::AT_HWCAP2));
    Words {
        // SAFETY: Linux lets EL0 read it, or traps the read and answers (1).
        ctr_el0: unsafe { registers::ctr_el0() },
        hwcap,
        hwcap2,
        midr_el1: midr_el1(hwcap),
        may_break_cleans: hwcap & HWCAP_ATOMICS == 0 && may_break_cleans(),
        refusal: None,
    }
}

/// Returns true if another CPU must not clean, or may be such a CPU. Without `std` they are not asked.
fn may_break_cleans() -> bool {
    cfg_if::cfg_if! {
        if #[cfg(feature = "std")] {
            super::super::sysfs::may_break_cleans(std::path::Path::new("/"))
        } else {
            true
        }
    }
}

/// Returns a word of the auxiliary vector. Words of ILP32 have 32 bits, and all bits that are asked for are among them.
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
