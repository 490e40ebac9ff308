//! A PC in ring 0, entered in 32-bit mode with paging off (Xen `docs/misc/pvh.pandoc`, "x86/HVM direct
//! boot ABI").

mod cpus;

use core::arch::{asm, global_asm};
use core::array;
use core::cell::Cell;

use cachemaint::{Cache, Unsupported};

use super::cpus::joined;
use super::{OneCpu, fail, start};

pub(super) use cpus::{own_number, start_others};

global_asm!(include_str!("boot.s"), start = sym start, trapped = sym trapped, joined = sym joined);

/// The first serial port, a 16550 (data sheet PC16550D: offset 0 transmits; offset 5 is the line status, whose bit 5 is
/// set when the transmitter takes a byte).
const SERIAL: u16 = 0x3f8;
const LINE_STATUS: u16 = SERIAL + 5;
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// QEMU's `isa-debug-exit` at its default port (QEMU `hw/misc/debugexit.c`): `value` ends the emulator
/// with the exit status `value << 1 | 1`.
const DEBUG_EXIT: u16 = 0x501;
/// The value for status 33, which QEMU does not use otherwise.
const ORDERED_END: u8 = 0x10;

const RESET_CONTROL: u16 = 0xcf9;

/// The number of vectors that the CPU reserves for exceptions (Intel SDM vol. 3A, "Exception and Interrupt Vectors").
const VECTORS: usize = 32;
/// The last byte of a table with a gate of 16 bytes for each vector.
const LAST_BYTE: u16 = 32 * 16 - 1;
/// The mnemonics of the first vectors (the same table).
const MNEMONICS: [&str; 15] = [
    "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "", "#TS", "#NP", "#SS", "#GP",
    "#PF",
];

unsafe extern "C" {
    /// The entries of all vectors, in `boot.s`.
    static TRAPS: [[u8; 16]; VECTORS];
}

/// A gate of the interrupt descriptor table (Intel SDM vol. 3A, "64-Bit Mode IDT").
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    low: usize,
    high: usize,
}

impl Gate {
    /// An interrupt gate: present, of ring 0, to the code segment 8 of `boot.s`.
    const fn to(entry: usize) -> Self {
        let selector = 8 << 16;
        let kind = 0x8e00 << 32;
        Self {
            low: entry & 0xffff | selector | kind | (entry >> 16 & 0xffff) << 48,
            high: entry >> 32,
        }
    }
}

/// The interrupt descriptor table, which the CPU reads at each exception.
static TABLE: OneCpu<Cell<[Gate; VECTORS]>> =
    OneCpu(Cell::new([Gate { low: 0, high: 0 }; VECTORS]));

/// The operand of LIDT.
#[repr(C, packed)]
struct TableRegister {
    limit: u16,
    base: usize,
}

/// The values that `boot.s` and the CPU push (Intel SDM vol. 3A, "64-Bit Mode Stack Frame").
#[repr(C)]
struct Frame {
    vector: usize,
    error: usize,
    instruction: usize,
}

/// Makes each later exception a failure of the running step instead of a reset.
pub(super) fn catch_exceptions() {
    let entry = |vector: usize| (&raw const TRAPS).cast::<[u8; 16]>().wrapping_add(vector);
    TABLE.0.set(array::from_fn(|vector| Gate::to(entry(vector).addr())));
    catch_exceptions_too();
}

/// Loads the table of exceptions on another CPU.
pub(super) fn catch_exceptions_too() {
    let register = TableRegister { limit: LAST_BYTE, base: TABLE.0.as_ptr().addr() };
    // SAFETY: the table is static and each gate leads to code that never returns.
    unsafe { asm!("lidt [{}]", in(reg) &raw const register, options(readonly, nostack)) };
}

pub(super) fn cache() -> Result<Cache, Unsupported> {
    // SAFETY: the board starts the image in ring 0, where (1) asks nothing; (2) its CPUs are alike.
    unsafe { Cache::privileged() }
}

extern "C" fn trapped(frame: &Frame) -> ! {
    let Frame { vector, error, instruction } = frame;
    let mnemonic = MNEMONICS.get(*vector).unwrap_or(&"");
    fail(format_args!("exception {vector} {mnemonic}, error code {error:#x}, at {instruction:#x}"))
}

pub(super) fn put(byte: u8) {
    while read_port(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {}
    write_port(SERIAL, byte);
}

pub(super) fn power_off() -> ! {
    write_port(DEBUG_EXIT, ORDERED_END);
    halt()
}

/// Resets the machine: a full reset by the chipset (Intel ICH9 data sheet, reset control register).
pub(super) fn reset() -> ! {
    write_port(RESET_CONTROL, 0x2);
    write_port(RESET_CONTROL, 0x6);
    halt()
}

/// Stops this CPU for good. No interrupt wakes it up.
pub(super) fn halt() -> ! {
    loop {
        // SAFETY: this only waits.
        unsafe { asm!("hlt", options(nomem, nostack)) };
    }
}

fn read_port(port: u16) -> u8 {
    let byte;
    // SAFETY: reading from the ports used here has no effect on memory.
    unsafe { asm!("in al, dx", in("dx") port, out("al") byte, options(nomem, nostack)) };
    byte
}

fn write_port(port: u16, byte: u8) {
    // SAFETY: writing to the ports used here has no effect on memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack)) };
}

fn write_wide_port(port: u16, word: u16) {
    // SAFETY: writing to the ports used here has no effect on memory.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") word, options(nomem, nostack)) };
}
