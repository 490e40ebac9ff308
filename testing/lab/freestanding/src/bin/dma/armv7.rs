//! Armv7 on QEMU's board `virt`. Operations: Arm ARM (DDI 0406C), "Cache and branch predictor maintenance operations,
//! VMSA".

/// The registers of virtio devices (QEMU `hw/arm/virt.c`, `VIRT_MMIO`).
pub(crate) const REGISTERS: usize = 0x0a00_0000;
pub(crate) const DEVICE: usize = 0x200;
pub(crate) const DEVICES: usize = 32;

// DCCMVAC, DCCIMVAC and DCIMVAC.
operations! {
    fence: "dsb",
    clean: "mcr p15, 0, {}, c7, c10, 1",
    clean_invalidate: "mcr p15, 0, {}, c7, c14, 1",
    invalidate: "mcr p15, 0, {}, c7, c6, 1",
}

/// `boot.s` has mapped the memory.
pub(crate) const fn prepare() {}

pub(crate) fn fill(buffer: &mut [u8], value: u8) {
    buffer.fill(value);
}
