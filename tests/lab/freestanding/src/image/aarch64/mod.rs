//! QEMU's arm64 board `virt` at EL1 (QEMU `docs/system/arm/virt.rst`).

use core::arch::{asm, global_asm};

use cachemaint::{Cache, Unsupported};

use super::{fail, start};

global_asm!(include_str!("boot.s"), start = sym start, trapped = sym trapped);

/// The serial port of the board, a PL011 (QEMU `hw/arm/virt.c`, `VIRT_UART0`).
const SERIAL: usize = 0x0900_0000;
/// Registers of a PL011 (Arm DDI 0183, "Summary of registers"): data, flags, control.
const DATA: *mut u32 = core::ptr::without_provenance_mut(SERIAL);
const FLAGS: *mut u32 = core::ptr::without_provenance_mut(SERIAL + 0x18);
const CONTROL: *mut u32 = core::ptr::without_provenance_mut(SERIAL + 0x30);
const TRANSMIT_FIFO_FULL: u32 = 1 << 5;
const ENABLE_TRANSMITTER: u32 = 1 << 8 | 1;

/// PSCI (Arm DEN 0022, `SYSTEM_OFF`), which this board reaches by HVC. QEMU's exit status is 0 then.
const SYSTEM_OFF: u32 = 0x8400_0008;

/// `boot.s` has set the exception vectors before memory was mapped; the serial port is enabled here.
pub(super) fn catch_exceptions() {
    // SAFETY: the register is the board's and mapped as a device.
    unsafe { CONTROL.write_volatile(ENABLE_TRANSMITTER) };
}

pub(super) fn cache() -> Result<Cache, Unsupported> {
    // SAFETY: the board starts the image at EL1 (1), with one CPU (2).
    unsafe { Cache::privileged() }
}

/// The kinds of exceptions, four for each origin (Arm ARM DDI 0487, "Exception vectors").
const KINDS: [&str; 4] = ["synchronous", "IRQ", "FIQ", "SError"];

/// Fails the running step. `vector` is an address behind the entry, of which there is one in 128 bytes.
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

pub(super) fn put(byte: u8) {
    // SAFETY: the register is the board's and mapped as a device.
    while unsafe { FLAGS.read_volatile() } & TRANSMIT_FIFO_FULL != 0 {}
    // SAFETY: the same.
    unsafe { DATA.write_volatile(u32::from(byte)) };
}

pub(super) fn power_off() -> ! {
    // SAFETY: it does not return.
    unsafe { asm!("hvc #0", "2:", "wfi", "b 2b", in("w0") SYSTEM_OFF, options(noreturn)) }
}
