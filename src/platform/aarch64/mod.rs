//! arm64: the line size comes from `CTR_EL0`, the instructions from what the kernel says it
//! permits (`HWCAP`), or from ID registers at EL1.

#[cfg(any(feature = "privileged", test))]
mod el1;
#[cfg(any(target_os = "linux", test))]
mod linux;
#[cfg(all(target_arch = "aarch64", any(target_os = "linux", feature = "privileged")))]
#[expect(unsafe_code, reason = "registers are read by MRS")]
mod registers;

use super::{Cpu, Erratum, Identity, Line, Midr};
use crate::arch::aarch64::{ARCHITECTURE, CLEAN_IS_BROKEN, DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP};
#[cfg(any(target_os = "linux", feature = "privileged", test))]
use crate::arch::LineSize;
use crate::arch::{Point, Unsupported};

#[cfg(all(target_arch = "aarch64", feature = "privileged"))]
pub(crate) use el1::privileged_facts;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
pub(crate) use linux::cpu;
#[cfg(test)]
pub(crate) use linux::{Words, read};

/// Nothing at EL0 tells of a hypervisor.
fn cpu_of(midr_el1: Option<u64>, present: u8, line: Result<Line, Unsupported>) -> Cpu {
    let midr = midr_el1.map(Midr);
    Cpu {
        identity: Identity::Aarch64 { midr },
        present,
        erratum: midr
            .is_some_and(Midr::needs_clean_as_invalidate)
            .then_some(Erratum { forbids: DC_CVAC.code, why: CLEAN_IS_BROKEN }),
        line,
        ..Cpu::refused(ARCHITECTURE.unreachable[Point::Coherency as usize])
    }
}

/// The facts of the CPU this program runs on.
#[cfg(target_arch = "aarch64")]
pub(crate) fn facts() -> Result<crate::arch::Facts, Unsupported> {
    cpu().facts()
}

/// A size field of `CTR_EL0`: the base-2 logarithm of a number of 4-byte words.
#[cfg(any(target_os = "linux", feature = "privileged", test))]
fn size_field(ctr_el0: u64, shift: u32) -> usize {
    4 << (ctr_el0 >> shift & 0xf)
}

/// The write-back granule: the largest there is where `CTR_EL0.CWG` is 0, or more than 9, which is
/// reserved (Arm ARM, `CTR_EL0`).
#[cfg(any(target_os = "linux", feature = "privileged", test))]
fn granule(ctr_el0: u64) -> LineSize {
    match ctr_el0 >> 24 & 0xf {
        0 => LineSize::LARGEST,
        _ => LineSize::new(size_field(ctr_el0, 24)).unwrap_or(LineSize::LARGEST),
    }
}

/// Every instruction may be there; which of them EL0 may execute is for the operating
/// system to say.
#[cfg(all(target_arch = "aarch64", not(target_os = "linux")))]
pub(crate) fn cpu() -> Cpu {
    use super::reading::shown;
    use crate::arch::Missing;
    let all = [DC_CVAC, DC_CVAP, DC_CVADP, DC_CIVAC].map(|instruction| (true, instruction));
    cpu_of(
        None,
        shown(all),
        Err(Unsupported::new(
            Missing::Permission,
            "on arm64 the operating system decides what user mode may execute, and this \
             crate knows how to ask Linux only",
            "use Cache::privileged at EL1, or Cache::from_facts if the system permits it",
        )),
    )
}
