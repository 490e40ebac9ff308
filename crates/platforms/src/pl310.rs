//! An outer cache behind the caches of Armv7 cores.

use crate::{each_line, hardware};
use cachemaint::coherence::{Maintain, hand_over};

/// The caches `inner` of the CPUs, with an L2C-310 (PL310) behind them.
///
/// # Interrupts
/// A handler may call it, also while it interrupts a call, and so may another CPU: an operation is one store to a
/// register, and a cache sync waits for those of all callers. The interrupted call goes on with its next step.
///
/// # Cost
/// For each 32-byte line of the outer cache, a store to its registers that waits for the line; one cache sync per call.
/// Dropped lines are maintained twice in the inner caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pl310<M> {
    inner: M,
    registers: usize,
    to_physical: usize,
}

/// The line size in bytes.
const LINE: usize = 32;
/// Offsets from the base: Arm DDI 0246H, 3.3.10, "Cache Maintenance Operations".
const CACHE_SYNC: usize = 0x730;
const CLEAN_LINE_BY_PA: usize = 0x7b0;
const CLEAN_AND_INVALIDATE_LINE_BY_PA: usize = 0x7f0;

impl<M: Maintain> Pl310<M> {
    /// Returns the caches with a controller that is mapped at the address `registers`. Adding `to_physical`, with
    /// wrap-around, turns a virtual address into a physical one; it is 0 if they are equal.
    ///
    /// # Safety
    /// 1. The registers of an L2C-310, release r3p1 or later, are mapped there as Device or Strongly-ordered memory for as
    ///    long as the value is used, and may be written. Earlier releases have errata 588369 and 753970.
    /// 2. The sum is the physical address of all memory that changes hands.
    /// 3. `inner` maintains the caches before the controller, and its completion waits for these caches and for stores
    ///    to the registers, as a DSB does.
    /// 4. No other code runs background operations by way on the controller meanwhile.
    /// 5. The code that switched the controller on had invalidated all ways (Linux `cache-l2x0.c`, `l2c_enable`).
    #[must_use]
    pub const unsafe fn new(inner: M, registers: usize, to_physical: usize) -> Self {
        Self { inner, registers, to_physical }
    }

    /// Executes the operation of the outer cache on each line.
    #[inline]
    fn outer(&self, operation: usize, start: *const u8, len: usize) {
        hand_over(start); // the compiler leaves no store between the two caches
        each_line(LINE, start, len, |line| {
            self.store(operation, line.wrapping_add(self.to_physical));
        });
    }

    #[inline]
    fn store(&self, offset: usize, value: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "its physical addresses have 32 bits")]
        let value = value as u32;
        // SAFETY: (1) it is a register of the controller's, and all operations that are used write back before they drop.
        unsafe { hardware::store(self.registers + offset, value) };
    }

    /// Writes back and drops the lines of both caches: `__dma_page_cpu_to_dev` and `__dma_page_dev_to_cpu` of Linux
    /// `arch/arm/mm/dma-mapping.c`.
    ///
    /// # Safety
    /// 1. As for [`Maintain::issue_writeback_invalidate`] (1).
    /// 2. As for [`Maintain::issue_writeback_invalidate`] (2).
    #[inline]
    unsafe fn drop_lines(&self, start: *const u8, len: usize) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.inner.issue_writeback(start, len) };
        self.inner.complete(); // the inner lines have arrived in the outer cache
        self.outer(CLEAN_AND_INVALIDATE_LINE_BY_PA, start, len);
        self.complete();
        // The CPU may have fetched old bytes from the outer cache in between.
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.inner.issue_writeback_invalidate(start, len) };
    }
}

// SAFETY: (1) the granule is the larger one. (2) The lines arrive in the outer cache before it writes them back. (3) Lines are
// dropped in the outer cache before they are in the inner ones, so that those are fetched from memory. (4) Both operations of the
// controller write back before they drop. (5) The last step of `complete` is that of the inner caches. (6) The range is handed
// over to each. (7) No operation by line fails (DDI 0246H, 3.3.10).
unsafe impl<M: Maintain> Maintain for Pl310<M> {
    #[inline]
    fn granule(&self) -> usize {
        self.inner.granule().max(LINE)
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.inner.issue_writeback(start, len) };
        self.inner.complete();
        self.outer(CLEAN_LINE_BY_PA, start, len);
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.drop_lines(start, len) };
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.drop_lines(start, len) };
    }

    /// Does nothing: each operation on lines of the outer cache comes after a completion of the inner ones.
    #[inline]
    fn order_observed(&self) {}

    /// Waits until the outer cache is drained and the inner ones have completed.
    #[inline]
    fn complete(&self) {
        self.store(CACHE_SYNC, 0);
        self.inner.complete();
    }
}

#[cfg(test)]
mod tests {
    use super::{CACHE_SYNC, CLEAN_AND_INVALIDATE_LINE_BY_PA, CLEAN_LINE_BY_PA, Pl310};
    use crate::Armv7;
    use crate::hardware::record::{Executed, take};
    use crate::two_levels::{Outer, is_read_back, is_released};
    use cachemaint::coherence;
    use std::vec::Vec;

    const BASE: usize = 0x1e00_a000;
    /// One line of 32 bytes in both caches.
    const START: *mut u8 = core::ptr::without_provenance_mut(0xc000_0040);
    const OUTER: Outer = Outer {
        clean: BASE + CLEAN_LINE_BY_PA,
        clean_invalidate: BASE + CLEAN_AND_INVALIDATE_LINE_BY_PA,
        sync: BASE + CACHE_SYNC,
    };

    /// Memory begins at physical address 6000 0000H and is mapped at C000 0000H.
    fn cache() -> Pl310<Armv7> {
        // SAFETY: (1) and (2) nothing is executed.
        let inner = unsafe { Armv7::with_lines(32, 32) };
        // SAFETY: (1) to (5) nothing is executed.
        unsafe { Pl310::new(inner, BASE, 0x6000_0000_usize.wrapping_sub(0xc000_0000)) }
    }

    fn released() -> Vec<Executed> {
        // SAFETY: (1) nothing is accessed at the addresses.
        unsafe { coherence::release_range(&cache(), START, 32) };
        take()
    }

    fn released_to_writer() -> Vec<Executed> {
        // SAFETY: (1) nothing is accessed at the addresses.
        unsafe { coherence::release_range_to_writer(&cache(), START, 32) };
        take()
    }

    fn acquired() -> Vec<Executed> {
        // SAFETY: (1) and (2) nothing is accessed at the addresses.
        unsafe { coherence::acquire_range(&cache(), START, 32) };
        take()
    }

    /// The order of Linux `arch/arm/mm/dma-mapping.c` and `cache-l2x0.c`, by physical addresses.
    #[test]
    fn the_outer_cache_comes_after_the_inner_one() {
        let store = |register, value| Executed::Store { register, value };
        let expected = [
            Executed::Dsb,
            Executed::Clean(0xc000_0040),
            Executed::Dsb,
            store(OUTER.clean, 0x6000_0040),
            store(OUTER.sync, 0),
            Executed::Dsb,
        ];
        assert_eq!(released(), expected);
    }

    #[test]
    fn a_line_reaches_memory_whatever_the_caches_do_meanwhile() {
        assert!(is_released(&released(), OUTER));
    }

    #[test]
    fn each_step_of_a_release_is_needed() {
        // The first barrier orders earlier loads, which the model lacks.
        for left_out in 1..released().len() {
            let mut steps = released();
            let step = steps.remove(left_out);
            assert!(!is_released(&steps, OUTER), "right without {step:?}");
        }
    }

    #[test]
    fn a_buffer_that_a_device_writes_is_read_back_whatever_the_caches_do_meanwhile() {
        assert!(is_read_back(&released_to_writer(), &acquired(), OUTER));
    }

    /// A handler hands over and takes back the same line at any step of a call that it interrupts.
    #[test]
    fn a_call_that_an_interrupt_handler_interrupts_does_its_work() {
        let interrupt =
            |steps: &[Executed], at, with: &[Executed]| [&steps[..at], with, &steps[at..]].concat();
        let handler = [released(), released_to_writer(), acquired()].concat();
        for at in 0..=released().len() {
            assert!(is_released(&interrupt(&released(), at, &handler), OUTER), "at {at}");
        }
        for at in 0..=acquired().len() {
            let steps = interrupt(&acquired(), at, &acquired());
            assert!(is_read_back(&released_to_writer(), &steps, OUTER), "at {at}");
        }
    }

    #[test]
    fn without_the_second_maintenance_of_the_inner_caches_old_bytes_are_read() {
        let mut steps = acquired();
        steps.retain(|step| !matches!(step, Executed::CleanInvalidate(_)));
        assert!(!is_read_back(&released_to_writer(), &steps, OUTER));
    }
}
