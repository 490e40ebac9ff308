//! The data caches of an Armv7 core of the A or R profile.

use crate::{each_line, hardware};
use cachemaint::coherence::{Maintain, hand_over};

/// The data caches of a Cortex-A or Cortex-R with Armv7, or with Armv8 in `AArch32`, maintained through CP15. An outer
/// cache needs [`Pl310`](crate::Pl310) around it.
///
/// # Interrupts
/// A handler may call it, also while it interrupts a call: an operation is one instruction, and nothing is kept between
/// two. The interrupted call goes on with the next line.
///
/// # Cost
/// DCCMVAC or DCCIMVAC for each line, a DSB before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armv7 {
    line: usize,
    granule: usize,
}

impl Armv7 {
    /// Returns the caches of this CPU, with the sizes of its cache type register (CTR). If a CPU does not state its
    /// write-back granule, like Cortex-R4, the granule is 2048 bytes, as the architecture demands. Use
    /// [`with_lines`](Self::with_lines) with the size from its manual.
    ///
    /// # Safety
    /// 1. This code, and all that uses the caches, runs at PL1 or PL2 of Armv7-A, Armv7-R or Armv8 in `AArch32`, not on
    ///    a core with errata that forbid a clean: a Cortex-A53 (855873), a Cortex-A35 r0p0 (855472), a Cortex-A57 r0p0
    ///    (813420).
    /// 2. All CPUs that use the caches have the line size and the granule of this one.
    /// 3. A CPU with pending operations executes a DSB before the thread moves to another CPU.
    /// 4. No other cache is between the CPU and the observer.
    /// 5. The code that started each CPU invalidated its data cache by set and way before switching it on.
    /// 6. Operations reach the caches of all CPUs that share the memory. A Cortex-A5 or A9 `MPCore` broadcasts them only if
    ///    `ACTLR.SMP` and `ACTLR.FW` are set on each CPU (Arm DDI 0407, 1.7.3; Linux `proc-v7.S`, `__v7_ca9mp_setup`).
    #[cfg(any(all(target_arch = "arm", not(test)), doc))]
    #[must_use]
    pub unsafe fn new() -> Self {
        let ctr: usize;
        // SAFETY: (1) permits the read, which has no effect.
        unsafe {
            core::arch::asm!("mrc p15, 0, {}, c0, c0, 1", out(reg) ctr, options(nostack, preserves_flags, nomem));
        }
        Self::of(ctr)
    }

    /// Returns caches with this line size and granule, in bytes.
    ///
    /// # Panics
    /// If `line` or `granule` is 1 or not a power of two, or if `granule` is smaller than `line`.
    ///
    /// # Safety
    /// 1. As for [`new`](Self::new) (1) and (3) to (6).
    /// 2. No line of the CPUs is shorter than `line`, and none writes back a unit larger than `granule`.
    #[must_use]
    pub const unsafe fn with_lines(line: usize, granule: usize) -> Self {
        assert!(line.is_power_of_two() && granule.is_power_of_two() && line <= granule && line > 1);
        Self { line, granule }
    }

    /// Returns the sizes in a CTR: `DminLine` (19:16) and CWG (27:24) are base-2 logarithms of numbers of words. A
    /// granule shorter than a line, as on Cortex-A8, counts as a line.
    const fn of(ctr: usize) -> Self {
        let (line, granule) = (4 << (ctr >> 16 & 0xf), ctr >> 24 & 0xf);
        let granule = if granule == 0 { 2048 } else { 4 << granule };
        Self { line, granule: if granule < line { line } else { granule } }
    }

    /// Executes the operation on each line.
    #[inline]
    fn issue(self, operate: unsafe fn(usize), start: *const u8, len: usize) {
        hand_over(start); // the compiler stores what it kept in registers
        hardware::dsb(); // preceding loads are complete, and erratum 764369 of Cortex-A9 is avoided
        // SAFETY: (1) the maker of the value vouched for the privilege; (2) the line holds a byte of the range.
        each_line(self.line, start, len, |line| unsafe { operate(line) });
    }
}

// SAFETY: (1) its maker vouched for the granule. (2) to (5) An operation by address observes preceding stores of this CPU to
// the line; both write back before they drop; the DSBs order them after preceding loads and complete them (Arm ARM DDI 0406C,
// B2.2.9 and A3.8.3). (6) The range is handed over, and operations and barriers are assembly. (7) Nothing can fail.
unsafe impl Maintain for Armv7 {
    #[inline]
    fn granule(&self) -> usize {
        self.granule
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        self.issue(hardware::clean, start, len);
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        self.issue(hardware::clean_invalidate, start, len);
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        self.issue(hardware::clean_invalidate, start, len);
    }

    /// Does nothing: each operation has a DSB before it.
    #[inline]
    fn order_observed(&self) {}

    #[inline]
    fn complete(&self) {
        hardware::dsb();
    }
}

#[cfg(test)]
mod tests {
    use super::Armv7;
    use crate::hardware::record::{Executed, take};
    use cachemaint::coherence;

    /// Values of the technical reference manuals of Cortex-A5 (DDI 0433), A7 (DDI 0464), R4 (DDI 0363) and A8 (DDI
    /// 0344), whose CWG is 2: 16 bytes, with lines of 64.
    #[test]
    fn sizes_are_those_of_the_cache_type_register() {
        let sizes = |ctr| (Armv7::of(ctr).line, Armv7::of(ctr).granule);
        assert_eq!(sizes(0x8333_8003), (32, 32));
        assert_eq!(sizes(0x8444_8003), (64, 64));
        assert_eq!(sizes(0x8003_c003), (32, 2048));
        assert_eq!(sizes(0x8204_8004), (64, 64));
    }

    #[test]
    fn lines_are_cleaned_or_dropped_between_barriers() {
        // SAFETY: (1) and (2) nothing is executed.
        let cache = unsafe { Armv7::with_lines(64, 64) };
        let start = core::ptr::without_provenance_mut(0x8000_0030);
        // SAFETY: (1) nothing is accessed at the addresses.
        unsafe { coherence::release_range(&cache, start, 17) };
        let expected = [Executed::Dsb, Executed::Clean(0x8000_0000), Executed::Clean(0x8000_0040)];
        assert_eq!(take(), [&expected[..], &[Executed::Dsb]].concat());
        // SAFETY: (1) and (2) nothing is accessed at the addresses.
        unsafe { coherence::acquire_range(&cache, start, 1) };
        let expected = [Executed::Dsb, Executed::CleanInvalidate(0x8000_0000), Executed::Dsb];
        assert_eq!(take(), expected);
    }
}
