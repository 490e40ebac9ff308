//! QEMU's Arm board `virt` in supervisor mode, with an Armv7 CPU (QEMU `docs/system/arm/virt.rst`).

use core::arch::{asm, global_asm};
use core::convert::Infallible;

use cachemaint_platforms::Armv7;

pub(super) use super::pl011::{catch_exceptions, put};
use super::{fail, start};

global_asm!(include_str!("boot.s"), start = sym start, trapped = sym trapped);

/// PSCI (Arm DEN 0022, `SYSTEM_OFF`), called by HVC on this board. QEMU then exits with status 0.
const SYSTEM_OFF: u32 = 0x8400_0008;

#[expect(clippy::unnecessary_wraps, reason = "other machines can refuse")]
pub(super) fn cache() -> Result<Armv7, Infallible> {
    // SAFETY: (1) the board starts the CPU in supervisor mode; (2), (3), (6) there is one; (4), (5) the emulator has no
    // caches.
    Ok(unsafe { Armv7::new() })
}

/// Fails the running step. The link register is the address after the instruction, plus 4 for a data abort.
extern "C" fn trapped(link: u32, psr: u32, status: u32, address: u32) -> ! {
    let mode = match psr & 0x1f {
        0x13 => "supervisor call",
        0x17 => "abort",
        0x1b => "undefined instruction",
        _ => "see the mode",
    };
    fail(format_args!(
        "exception ({mode}), PSR {psr:#x}, before {link:#x}, DFSR {status:#x}, DFAR {address:#x}"
    ))
}

pub(super) fn power_off() -> ! {
    // SAFETY: it does not return.
    unsafe {
        asm!(".arch_extension virt", "hvc #0", "2:", "wfi", "b 2b", in("r0") SYSTEM_OFF, options(noreturn))
    }
}
