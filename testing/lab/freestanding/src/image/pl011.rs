//! The serial port of QEMU's Arm boards `virt`, a PL011 (QEMU `hw/arm/virt.c`, `VIRT_UART0`).

const SERIAL: usize = 0x0900_0000;
/// Registers of a PL011 (Arm DDI 0183, "Summary of registers"): data, flags, control.
const DATA: *mut u32 = core::ptr::without_provenance_mut(SERIAL);
const FLAGS: *mut u32 = core::ptr::without_provenance_mut(SERIAL + 0x18);
const CONTROL: *mut u32 = core::ptr::without_provenance_mut(SERIAL + 0x30);
const TRANSMIT_FIFO_FULL: u32 = 1 << 5;
const ENABLE_TRANSMITTER: u32 = 1 << 8 | 1;

/// `boot.s` has set the exception vectors before memory was mapped; the serial port is enabled here.
pub(super) fn catch_exceptions() {
    // SAFETY: the register belongs to the board and is mapped as a device.
    unsafe { CONTROL.write_volatile(ENABLE_TRANSMITTER) };
}

pub(super) fn put(byte: u8) {
    // SAFETY: the register belongs to the board and is mapped as a device.
    while unsafe { FLAGS.read_volatile() } & TRANSMIT_FIFO_FULL != 0 {}
    // SAFETY: the same.
    unsafe { DATA.write_volatile(u32::from(byte)) };
}
