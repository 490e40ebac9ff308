//! QEMU's arm64 board `virt` at EL1 (QEMU `docs/system/arm/virt.rst`).

use core::arch::{asm, global_asm};
use core::hint::black_box;

use cachemaint::Cache;
use cachemaint_lab_freestanding::{Buffer, Outcome, Step};

use super::{fail, start};

global_asm!(include_str!("boot.s"), start = sym start, trapped = sym trapped);

/// The serial port, a PL011, where the board has it (QEMU `hw/arm/virt.c`, `VIRT_UART0`).
const SERIAL: usize = 0x0900_0000;
/// Registers of a PL011 (Arm DDI 0183, "Summary of registers"): data, flags, control.
const DATA: *mut u32 = core::ptr::without_provenance_mut(SERIAL);
const FLAGS: *mut u32 = core::ptr::without_provenance_mut(SERIAL + 0x18);
const CONTROL: *mut u32 = core::ptr::without_provenance_mut(SERIAL + 0x30);
const TRANSMIT_FIFO_FULL: u32 = 1 << 5;
const ENABLE_TRANSMITTER: u32 = 1 << 8 | 1;

/// PSCI (Arm DEN 0022, `SYSTEM_OFF`), which this board reaches by HVC. QEMU's exit status is 0 then.
const SYSTEM_OFF: u32 = 0x8400_0008;

/// What the library may rely on at EL1, executed by the image itself: that it executes is the truth of this
/// machine, whatever the library makes of it.
pub(super) const STEPS: [Step; 2] =
    [Step { name: "dc ivac", run: dc_ivac }, Step { name: "dc cisw", run: dc_cisw }];

/// `boot.s` has set the exception vectors before memory was mapped; the serial port is enabled here.
pub(super) fn catch_exceptions() {
    // SAFETY: the register is the board's and mapped as a device.
    unsafe { CONTROL.write_volatile(ENABLE_TRANSMITTER) };
}

/// The kinds of exceptions, four for each place where they come from (Arm ARM DDI 0487, "Exception
/// vectors").
const KINDS: [&str; 4] = ["synchronous", "IRQ", "FIQ", "SError"];

/// `vector` is an address behind the entry, of which there is one in 128 bytes.
extern "C" fn trapped(vector: usize, esr: u64, elr: u64, far: u64) -> ! {
    let vector = vector / 128 % 16;
    let (kind, class) = (KINDS[vector % 4], exception_class(esr >> 26 & 0x3f));
    fail(format_args!(
        "exception at vector {vector} ({kind}, {class}), ESR_EL1 {esr:#x}, at {elr:#x}, FAR_EL1 {far:#x}"
    ))
}

/// `ESR_EL1.EC` (Arm ARM DDI 0487, `ESR_EL1`) of what an instruction here can raise.
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

/// On a clean line it loses nothing; on a dirty one it may drop what was stored.
fn dc_ivac(cache: Cache) -> Outcome {
    let buffer = Buffer::filled(1);
    cache.writeback_invalidate(&buffer);
    let line = &raw const buffer;
    // SAFETY: EL1; the line is this buffer's alone and was written back.
    unsafe { asm!("dc ivac, {}", "dsb sy", in(reg) line, options(nostack, preserves_flags)) };
    buffer.assert_intact("dc ivac");
    Outcome::Passed
}

/// The first way of the first set of the first level.
fn dc_cisw(_cache: Cache) -> Outcome {
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    // SAFETY: EL1; it writes back what it drops.
    unsafe { asm!("dc cisw, {}", "dsb sy", in(reg) 0_u64, options(nostack, preserves_flags)) };
    buffer.assert_intact("dc cisw");
    Outcome::Passed
}
