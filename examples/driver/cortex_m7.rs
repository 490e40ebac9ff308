//! The data cache of a Cortex-M7, which registers maintain. The page of [`Maintain`] shows this code.

use cachemaint::coherence::{Maintain, hand_over};

/// The data cache of a Cortex-M7, by address.
#[derive(Debug)]
pub struct CortexM7 {
    /// `SCB`.
    registers: *mut u32,
}

const LINE: usize = 32;
const DCCMVAC: usize = 0x268;
const DCCIMVAC: usize = 0x270;

impl CortexM7 {
    /// Returns the data cache of this CPU.
    ///
    /// # Safety
    /// 1. This CPU is a Cortex-M7, in privileged mode.
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self { registers: core::ptr::without_provenance_mut(0xe000_ed00) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "an address of this CPU has 32 bits")]
    fn issue(&self, register: usize, start: *const u8, len: usize) {
        hand_over(start); // the compiler stores what it kept in registers
        barrier::dsb(); // preceding stores are observed by the operations
        let Some(last) = len.checked_sub(1) else { return };
        let (first, last) = (start.addr() / LINE, (start.addr() + last) / LINE);
        let register = self.registers.wrapping_byte_add(register);
        for line in first..=last {
            // SAFETY: the register is this one's to write, and takes an address.
            unsafe { register.write_volatile((line * LINE) as u32) };
        }
    }
}

// SAFETY: (1) lines are of 32 bytes and there is no other cache. (2) to (5) DCCMVAC and DCCIMVAC are between
// DSBs, and write back before they drop. (6) The range is handed over, and the barriers are assembly. (7)
// Nothing can fail.
unsafe impl Maintain for CortexM7 {
    fn granule(&self) -> usize {
        LINE
    }
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        self.issue(DCCMVAC, start, len);
    }
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        self.issue(DCCIMVAC, start, len);
    }
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        self.issue(DCCIMVAC, start, len);
    }
    fn complete(&self) {
        barrier::dsb();
        barrier::isb();
    }
}

mod barrier {
    use core::arch::asm;

    pub(super) fn dsb() {
        // SAFETY: it only waits.
        unsafe { asm!("dsb", options(nostack, preserves_flags)) };
    }

    pub(super) fn isb() {
        // SAFETY: it only waits.
        unsafe { asm!("isb", options(nostack, preserves_flags)) };
    }
}
