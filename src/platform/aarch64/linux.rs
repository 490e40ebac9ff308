//! Under Linux: `CTR_EL0`, which EL0 can read, and the auxiliary vector.
//!
//! Linux lets EL0 read `CTR_EL0`, or traps the read and answers with values that hold for all CPUs of
//! the machine (`arch/arm64/kernel/traps.c`, `ctr_read_handler`). `HWCAP_DCPOP` is set only if all
//! CPUs have DC CVAP (`arch/arm64/kernel/cpufeature.c`).

#[cfg(target_arch = "aarch64")]
use super::registers;
use super::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP, cpu_of, granule, size_field};
use crate::platform::reading::{line_size, shown};
use crate::platform::{Cpu, Line};

/// Linux `arch/arm64/include/uapi/asm/hwcap.h`: MRS of ID registers works at EL0.
#[cfg(target_arch = "aarch64")]
const HWCAP_CPUID: u64 = 1 << 11;
/// The same file: DC CVAP.
const HWCAP_DCPOP: u64 = 1 << 16;
/// The same file, second word: DC CVADP.
const HWCAP2_DCPODP: u64 = 1;

/// What is read on an arm64 machine under Linux.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) ctr_el0: u64,
    pub(crate) hwcap: u64,
    pub(crate) hwcap2: u64,
    /// `MIDR_EL1`, if `HWCAP_CPUID` says that it can be read.
    pub(crate) midr_el1: Option<u64>,
}

/// The CPU that these words describe.
pub(crate) fn read(words: Words) -> Cpu {
    cpu_of(
        words.midr_el1,
        shown([
            (true, DC_CVAC),
            (true, DC_CIVAC),
            (words.hwcap & HWCAP_DCPOP != 0, DC_CVAP),
            (words.hwcap2 & HWCAP2_DCPODP != 0, DC_CVADP),
        ]),
        line_size(size_field(words.ctr_el0, 16)).map(|size| Line {
            size,
            granule: granule(words.ctr_el0).max(size).bytes(),
            source: "CTR_EL0.DminLine",
        }),
    )
}

/// The CPU this program runs on.
#[cfg(target_arch = "aarch64")]
pub(crate) fn cpu() -> Cpu {
    let (hwcap, hwcap2) = (auxv(libc::AT_HWCAP), auxv(libc::AT_HWCAP2));
    read(Words {
        ctr_el0: registers::ctr_el0(),
        hwcap,
        hwcap2,
        midr_el1: (hwcap & HWCAP_CPUID != 0).then(registers::midr_el1),
    })
}

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "the auxiliary vector is read through libc")]
fn auxv(kind: libc::c_ulong) -> u64 {
    // SAFETY: getauxval has no precondition; it gives 0 for a word that the kernel did not
    // pass, which is the answer that permits nothing.
    unsafe { libc::getauxval(kind) }
}

#[cfg(test)]
mod tests {
    use super::{Words, read};

    /// A choice is made from what was read: lines of 64 bytes (`DminLine` 4), a granule of 256 (CWG 6).
    #[test]
    fn the_granule_reaches_the_facts() {
        let words = Words { ctr_el0: 0x8644_8004, hwcap: 0, hwcap2: 0, midr_el1: None };
        let facts = read(words).facts().unwrap();
        assert_eq!((facts.line().bytes(), facts.granule().bytes()), (64, 256));
    }
}
