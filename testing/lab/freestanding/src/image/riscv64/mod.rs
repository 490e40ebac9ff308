//! QEMU's RISC-V board `virt` in M-mode, without firmware (QEMU `docs/system/riscv/virt.rst`).

use core::arch::global_asm;

use cachemaint::instruction::Facts;
use cachemaint::instruction::{CBO_CLEAN, CBO_FLUSH};
use cachemaint::{Cache, Unsupported};

use super::{fail, start};

global_asm!(include_str!("boot.s"), start = sym start, trapped = sym trapped);

/// The serial port of the board, a 16550 (QEMU `hw/riscv/virt.c`, `VIRT_UART0`; data sheet PC16550D: offset 0
/// transmits; offset 5 is the line status, whose bit 5 is set when the transmitter takes a byte).
const SERIAL: *mut u8 = core::ptr::without_provenance_mut(0x1000_0000);
const LINE_STATUS: *mut u8 = core::ptr::without_provenance_mut(0x1000_0005);
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// QEMU's test finisher (`hw/riscv/virt.c`, `VIRT_TEST`; `hw/misc/sifive_test.c`): this value ends the
/// emulator with status 0.
const FINISHER: *mut u32 = core::ptr::without_provenance_mut(0x10_0000);
const PASS: u32 = 0x5555;

/// No register shows Zicbom. A kernel would read it from the device tree. QEMU's `rv64` has blocks of 64 bytes.
const FACTS: Option<Facts> = match Facts::new(64) {
    Some(facts) => Some(facts.with(CBO_CLEAN).with(CBO_FLUSH)),
    None => None,
};

pub(super) fn cache() -> Result<Cache, Unsupported> {
    let Some(facts) = FACTS else { fail(format_args!("64 is a line size")) };
    // SAFETY: the lane starts a CPU with Zicbom, which M-mode may execute (1), and with such blocks (2).
    unsafe { Cache::from_facts(facts) }
}

/// `boot.s` has set `mtvec` first of all.
pub(super) fn catch_exceptions() {}

extern "C" fn trapped(cause: usize, at: usize, value: usize) -> ! {
    let name = match cause {
        // RISC-V privileged manual, `mcause`.
        2 => "illegal instruction",
        5 => "load access fault",
        7 => "store access fault",
        _ => "see mcause",
    };
    fail(format_args!("exception {cause} ({name}), at {at:#x}, mtval {value:#x}"))
}

pub(super) fn put(byte: u8) {
    // SAFETY: the register belongs to the board.
    while unsafe { LINE_STATUS.read_volatile() } & TRANSMITTER_EMPTY == 0 {}
    // SAFETY: the same.
    unsafe { SERIAL.write_volatile(byte) };
}

pub(super) fn power_off() -> ! {
    loop {
        // SAFETY: the register belongs to the board.
        unsafe { FINISHER.write_volatile(PASS) };
    }
}
