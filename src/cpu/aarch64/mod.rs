//! arm64: the line size comes from `CTR_EL0`, the instructions from the permissions that the kernel
//! reports (`HWCAP`), or from ID registers at EL1.
//!
//! | module | what it reads |
//! |---|---|
//! | `el1` | ID registers, in privileged code |
//! | `host` | the words that Linux lets EL0 read; on other systems nothing, with the reason |
//! | `sysfs` | the identities of the machine's other CPUs, under Linux with `std` |
//! | `words` | nothing: it draws conclusions from the words that were read |

#[cfg(any(feature = "privileged", test))]
pub(super) mod el1;
native_only! { aarch64 {
    pub(super) mod host;
} }
#[cfg(all(feature = "std", any(test, target_os = "linux")))]
mod sysfs;
pub(super) mod words;

use crate::arch::LineSize;
use crate::arch::aarch64::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP};

/// Returns the write-back granule, or the largest possible one if `CTR_EL0.CWG` is 0 or reserved (more than 9) (Arm
/// ARM, `CTR_EL0`).
fn granule(ctr_el0: u64) -> usize {
    match ctr_el0 >> 24 & 0xf {
        0 => LineSize::MAX,
        _ => LineSize::new(size_field(ctr_el0, 24)).map_or(LineSize::MAX, LineSize::bytes),
    }
}

/// Returns a size field of `CTR_EL0`: the base-2 logarithm of a number of 4-byte words.
fn size_field(ctr_el0: u64, shift: u32) -> usize {
    4 << (ctr_el0 >> shift & 0xf)
}
