//! Arm64 on QEMU's board `virt`, with several CPUs.

use core::arch::asm;
use core::cell::LazyCell;
use core::ptr;

use cachemaint_lab_freestanding::image::OneCpu;
use cachemaint_lab_freestanding::image::cpus::Cpus;

use super::memory::{LEFT_OUT, LeftOut, without_fence};

/// The registers of virtio devices (QEMU `hw/arm/virt.c`, `VIRT_MMIO`).
pub(crate) const REGISTERS: usize = 0x0a00_0000;
pub(crate) const DEVICE: usize = 0x200;
pub(crate) const DEVICES: usize = 32;

operations! {
    fence: "dsb sy",
    clean: "dc cvac, {}",
    clean_invalidate: "dc civac, {}",
    invalidate: "dc ivac, {}",
}

static CPUS: OneCpu<LazyCell<Cpus>> = OneCpu(LazyCell::new(Cpus::start));

/// `boot.s` has mapped the memory.
pub(crate) const fn prepare() {}

/// Fills a buffer, on the last CPU if there are several.
pub(crate) fn fill(buffer: &mut [u8], value: u8) {
    let Some(last) = CPUS.0.numbers().skip(1).last() else { return buffer.fill(value) };
    let (start, len) = (buffer.as_mut_ptr().expose_provenance(), buffer.len());
    CPUS.0.run(&|| {
        if number() == last {
            // SAFETY: the first CPU waits for this one, and lends it the buffer.
            unsafe { ptr::with_exposed_provenance_mut::<u8>(start).write_bytes(value, len) };
            if LEFT_OUT.0.get() == LeftOut::FenceOfOneCpu {
                without_fence(clean, ptr::without_provenance(start), len);
            }
        }
    });
}

/// Returns the number of this CPU (`MPIDR_EL1.Aff0`).
fn number() -> u32 {
    let affinity: u64;
    // SAFETY: this reads a register.
    unsafe {
        asm!("mrs {}, mpidr_el1", out(reg) affinity, options(nomem, nostack, preserves_flags));
    };
    (affinity & 0xff) as u32
}
