//! The data cache of a Cortex-M core.

use crate::{each_line, hardware};
use cachemaint::coherence::{Maintain, hand_over};

/// The data cache of a Cortex-M7, M55 or M85, maintained through the registers of the SCB. Several drivers may each
/// have a value.
///
/// ```
/// # #[cfg(all(target_arch = "arm", target_os = "none"))] {
/// use cachemaint::coherence::{self, Padded};
/// use cachemaint_platforms::CortexM;
///
/// // SAFETY: (1) the board has a Cortex-M7, and this code is privileged. (2) It has no other cache.
/// // (3) `SCB::enable_dcache` switched the cache on.
/// const CACHE: CortexM = unsafe { CortexM::new() };
///
/// fn receive(buffer: &mut Padded<[u8], 32>, run_device: impl FnOnce(*mut u8, usize)) {
///     coherence::release_to_writer(&CACHE, buffer);
///     run_device(buffer.as_mut_ptr(), buffer.len());
///     coherence::acquire(&CACHE, buffer);
/// }
/// # }
/// ```
///
/// # Interrupts
/// A handler may call it, also while it interrupts a call: an operation is one store to a register, and nothing is kept
/// between two. The interrupted call goes on with the next line.
///
/// # Cost
/// A store to a register for each line of 32 bytes; a DSB before; a DSB and an ISB after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CortexM(());

/// The line size in bytes. CMSIS `cachel1_armv7.h`, `__SCB_DCACHE_LINE_SIZE`.
const LINE: usize = 32;
/// Arm DUI 0646C, 4.8; CMSIS `core_cm7.h`, `core_cm55.h` and `core_cm85.h`.
const DCCMVAC: usize = 0xe000_ef68;
const DCCIMVAC: usize = 0xe000_ef70;

impl CortexM {
    /// Returns the data cache of this CPU.
    ///
    /// # Safety
    /// 1. Wherever it is used, the CPU is a Cortex-M7, M55 or M85 in privileged mode.
    /// 2. No other cache is between it and the observer.
    /// 3. The code that switched the data cache on had invalidated it by set and way, as `SCB::enable_dcache` of the
    ///    crate cortex-m does.
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

/// Stores the address of each line to the register.
#[inline]
fn issue(register: usize, start: *const u8, len: usize) {
    hand_over(start); // the compiler stores what it kept in registers
    hardware::dsb(); // the operations see preceding stores
    #[expect(clippy::cast_possible_truncation, reason = "an address of this CPU has 32 bits")]
    // SAFETY: (1) the register takes an address, and writes the line back before it drops it.
    each_line(LINE, start, len, |line| unsafe { hardware::store(register, line as u32) });
}

// SAFETY: (1) lines have 32 bytes. (2) to (5) By Arm DUI 0646C, 4.8.7: a DSB comes before the operations, so that they observe
// preceding stores and come after preceding loads. They complete in order, and a DSB and an ISB complete them all. Both write
// back before they drop. (6) The range is handed over, and barriers are assembly. (7) Nothing can fail.
unsafe impl Maintain for CortexM {
    #[inline]
    fn granule(&self) -> usize {
        LINE
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        issue(DCCMVAC, start, len);
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        issue(DCCIMVAC, start, len);
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        issue(DCCIMVAC, start, len);
    }

    /// Does nothing: each operation has a DSB before it.
    #[inline]
    fn order_observed(&self) {}

    #[inline]
    fn complete(&self) {
        hardware::dsb();
        hardware::isb();
    }
}

#[cfg(test)]
mod tests {
    use super::{CortexM, DCCIMVAC, DCCMVAC};
    use crate::hardware::record::{Executed, take};
    use cachemaint::coherence::{self, Maintain, Padded};
    use std::vec::Vec;

    // SAFETY: (1) to (3) nothing is executed.
    const CACHE: CortexM = unsafe { CortexM::new() };

    fn store(register: usize, value: u32) -> Executed {
        Executed::Store { register, value }
    }

    /// The order that DUI 0646C, 4.8.7, demands.
    #[test]
    fn a_release_cleans_each_line_between_the_barriers() {
        // 49 bytes from 2000_0010H: the last byte is at 2000_0040H, in the third line.
        // SAFETY: (1) nothing is accessed at the addresses.
        unsafe { coherence::release_range(&CACHE, core::ptr::without_provenance(0x2000_0010), 49) };
        let expected = [
            Executed::Dsb,
            store(DCCMVAC, 0x2000_0000),
            store(DCCMVAC, 0x2000_0020),
            store(DCCMVAC, 0x2000_0040),
            Executed::Dsb,
            Executed::Isb,
        ];
        assert_eq!(take(), expected);
    }

    #[test]
    fn several_ranges_are_completed_by_one_fence() {
        for start in [0x2000_0000, 0xffff_ffe0] {
            // SAFETY: (1) and (2) nothing is accessed at the addresses.
            unsafe { CACHE.issue_writeback(core::ptr::without_provenance(start), 32) };
        }
        CACHE.complete();
        let expected = [
            Executed::Dsb,
            store(DCCMVAC, 0x2000_0000),
            Executed::Dsb,
            store(DCCMVAC, 0xffff_ffe0),
            Executed::Dsb,
            Executed::Isb,
        ];
        assert_eq!(take(), expected);
    }

    /// Through a trait object, as a driver uses it.
    #[test]
    fn a_padded_buffer_is_handed_over_and_taken_back_by_whole_lines() {
        let cache: &dyn Maintain = &CACHE;
        let mut buffer: Padded<[u8; 40], 32> = Padded::new([0; 40], cache).unwrap();
        coherence::release_to_writer(cache, &mut buffer);
        coherence::acquire(cache, &mut buffer);
        let stored: Vec<_> = take()
            .into_iter()
            .filter_map(|executed| match executed {
                Executed::Store { register, value } => Some((register, value % 32)),
                _ => None,
            })
            .collect();
        assert_eq!(stored, [(DCCIMVAC, 0); 4], "40 bytes in two lines, twice");
    }
}
