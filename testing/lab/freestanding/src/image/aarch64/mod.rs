//! QEMU's arm64 board `virt` at EL1 (QEMU `docs/system/arm/virt.rst`).

use core::arch::{asm, global_asm};

use cachemaint::{Cache, Unsupported};

use super::cpus::{MOST, joined};
pub(super) use super::pl011::{catch_exceptions, put};
use super::{fail, start};

global_asm!(include_str!("boot.s"), start = sym start, trapped = sym trapped, joined = sym joined);

/// PSCI (Arm DEN 0022, `SYSTEM_OFF`), called by HVC on this board. QEMU then exits with status 0.
const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;
/// PSCI (Arm DEN 0022, `CPU_ON`): the CPU, its entry point and the value of its x0. The result is 0 if the CPU exists.
const CPU_ON: u64 = 0xc400_0003;

/// The size of another CPU's stack in bytes, as in `virt.ld`.
const STACK: usize = 16 << 10;

unsafe extern "C" {
    /// The entry point of other CPUs, in `boot.s`, and the stacks of all.
    static other_entry: u8;
    static other_stacks: u8;
}

/// Starts the other CPUs, whose numbers follow that of the first one. Returns how many there are.
pub(super) fn start_others() -> usize {
    (1..MOST).take_while(|number| is_on(*number)).count()
}

/// Starts the CPU with a number. Returns false if it does not exist.
fn is_on(number: usize) -> bool {
    let mut result = CPU_ON;
    let stack = (&raw const other_stacks).addr() + number * STACK;
    // SAFETY: the CPU runs nothing yet, and no other CPU uses that stack.
    unsafe {
        asm!(
            "dsb sy", "hvc #0", inout("x0") result, in("x1") number, in("x2") &raw const other_entry,
            in("x3") stack, clobber_abi("C"), options(nostack),
        );
    };
    result == 0
}

/// Returns the number of this CPU (`MPIDR_EL1.Aff0`).
pub(super) fn own_number() -> u32 {
    let affinity: usize;
    // SAFETY: this reads a register.
    unsafe {
        asm!("mrs {}, mpidr_el1", out(reg) affinity, options(nomem, nostack, preserves_flags));
    };
    let [number, ..] = affinity.to_le_bytes();
    number.into()
}

/// `boot.s` has set the exception vectors.
pub(super) const fn catch_exceptions_too() {}

pub(super) fn cache() -> Result<Cache, Unsupported> {
    // SAFETY: the board starts the image at EL1 (1); (2) its CPUs are alike.
    unsafe { Cache::privileged() }
}

/// The kinds of exceptions, four for each origin (Arm ARM DDI 0487, "Exception vectors").
const KINDS: [&str; 4] = ["synchronous", "IRQ", "FIQ", "SError"];

/// Fails the running step. `vector` is an address after the entry; there is one entry in 128 bytes.
extern "C" fn trapped(vector: usize, esr: u64, elr: u64, far: u64) -> ! {
    let vector = vector / 128 % 16;
    let (kind, class) = (KINDS[vector % 4], exception_class(esr >> 26 & 0x3f));
    fail(format_args!(
        "exception at vector {vector} ({kind}, {class}), ESR_EL1 {esr:#x}, at {elr:#x}, FAR_EL1 {far:#x}"
    ))
}

/// Returns the name of an exception class that an instruction here can raise (`ESR_EL1.EC`, Arm ARM DDI 0487,
/// `ESR_EL1`).
const fn exception_class(ec: u64) -> &'static str {
    match ec {
        0 => "unknown instruction",
        0x18 => "trapped system instruction",
        0x20 | 0x21 => "instruction abort",
        0x24 | 0x25 => "data abort",
        0x26 => "stack alignment",
        _ => "see ESR_EL1.EC",
    }
}

/// Resets the machine.
pub(super) fn reset() -> ! {
    // SAFETY: it does not return.
    unsafe { asm!("hvc #0", "2:", "wfi", "b 2b", in("w0") SYSTEM_RESET, options(noreturn)) }
}

/// Stops this CPU for good. Interrupts are masked.
pub(super) fn halt() -> ! {
    loop {
        // SAFETY: this only waits.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}

pub(super) fn power_off() -> ! {
    // SAFETY: it does not return.
    unsafe { asm!("hvc #0", "2:", "wfi", "b 2b", in("w0") SYSTEM_OFF, options(noreturn)) }
}
