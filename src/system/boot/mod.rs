//! The identity of this boot and this process. Unreadable parts are zero.

#[cfg(all(feature = "preserve", feature = "dax"))]
mod writer;

use std::fs;

#[cfg(all(feature = "preserve", feature = "dax"))]
pub(crate) use writer::{is_by_kexec, process, release};

/// Returns the boot id of Linux (random(4)); zeros elsewhere.
pub(crate) fn id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits = text.trim().replace('-', "");
    u128::from_str_radix(&digits, 16).map_or([0; 16], u128::to_be_bytes)
}
