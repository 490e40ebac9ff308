//! Systems under which EL0 cannot maintain caches, or of which that is not known.

use super::super::words::{MAINTENANCE_IS_DISABLED, Words};
use crate::arch::{Missing, Unsupported};

/// Reads nothing: `CTR_EL0` may be out of reach too.
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
    "persist files by FlushViewOfFile and FlushFileBuffers; leave devices to a driver",
);

/// A CPU that the system does not identify can be one of Apple's, on which the instructions can do nothing.
const OTHER: Unsupported = Unsupported::new(
    Missing::Permission,
    "on arm64 the operating system decides what user mode may execute and learns of the CPU, and this crate can ask only \
     Linux and FreeBSD",
    "use Cache::privileged at EL1, or Cache::from_facts if the system permits it on this CPU",
);
