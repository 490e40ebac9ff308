//! arm64: the line size comes from `CTR_EL0`, the instructions from what the kernel says it
//! permits (`HWCAP`), or from ID registers at EL1.
//!
//! | room | what it reads |
//! |---|---|
//! | `el1` | ID registers, in privileged code |
//! | `linux`, `bsd` | what these systems let EL0 know |
//! | `refused` | nothing: other systems, and why |
//! | `words` | no machine: what follows from what was read |

#[cfg(any(feature = "privileged", test))]
mod el1;
mod words;

cfg_if::cfg_if! {
    if #[cfg(not(target_arch = "aarch64"))] {
        // The rules are tested on any host.
    } else if #[cfg(target_os = "linux")] {
        mod linux;
        use linux as system;
    } else if #[cfg(any(target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))] {
        mod bsd;
        use bsd as system;
    } else {
        mod refused;
        use refused as system;
    }
}

use crate::arch::LineSize;
use crate::arch::aarch64::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP};

#[cfg(all(target_arch = "aarch64", feature = "privileged"))]
pub(crate) use el1::here_privileged;
#[cfg(test)]
pub(crate) use el1::{IdRegisters, read as read_at_el1};
#[cfg(test)]
pub(crate) use words::Words;
#[cfg(any(target_arch = "aarch64", test))]
pub(crate) use words::read;

/// The CPU this program runs on.
#[cfg(target_arch = "aarch64")]
pub(crate) fn here() -> super::Cpu {
    read(system::words())
}

/// The write-back granule: the largest there is where `CTR_EL0.CWG` is 0, or more than 9, which is
/// reserved (Arm ARM, `CTR_EL0`).
fn granule(ctr_el0: u64) -> LineSize {
    match ctr_el0 >> 24 & 0xf {
        0 => LineSize::LARGEST,
        _ => LineSize::new(size_field(ctr_el0, 24)).unwrap_or(LineSize::LARGEST),
    }
}

/// A size field of `CTR_EL0`: the base-2 logarithm of a number of 4-byte words.
fn size_field(ctr_el0: u64, shift: u32) -> usize {
    4 << (ctr_el0 >> shift & 0xf)
}
