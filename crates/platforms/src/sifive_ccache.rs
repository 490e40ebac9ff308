//! SiFive's last-level cache.

use crate::{each_line, hardware};
use cachemaint::coherence::{Maintain, hand_over};

/// A SiFive composable cache (CCACHE), and the CPU caches before it, which it includes: StarFive JH7100.
///
/// Most boards with this cache need only [`Coherent`](cachemaint::coherence::Coherent), since their devices are
/// attached before it: FU540, FU740 and most of JH7110.
///
/// # Interrupts
/// A handler may call it, also while it interrupts a call, and so may another CPU: a flush is one store to a register.
/// The interrupted call goes on with the next line.
///
/// # Cost
/// For each line of 64 bytes, a fence and a store to a register that waits until the line has been flushed. A
/// write-back also drops the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SifiveCcache {
    registers: usize,
    to_physical: usize,
}

/// The line size in bytes. Linux `drivers/cache/sifive_ccache.c`, `SIFIVE_CCACHE_LINE_SIZE`.
const LINE: usize = 64;
/// The offset of the register that takes an address of the line: the same file, `SIFIVE_CCACHE_FLUSH64`.
const FLUSH64: usize = 0x200;

impl SifiveCcache {
    /// Returns the caches with a controller that is mapped at the address `registers`. Adding `to_physical`, with
    /// wrap-around, turns a virtual address into a physical one; it is 0 if they are equal.
    ///
    /// # Safety
    /// 1. The registers of a CCACHE are mapped there as I/O for as long as the value is used, and may be written. Its lines
    ///    have 64 bytes.
    /// 2. The sum is the physical address of all memory that changes hands, and the controller caches that memory: it ignores
    ///    other addresses.
    /// 3. No other cache is between it and the observer.
    #[must_use]
    pub const unsafe fn new(registers: usize, to_physical: usize) -> Self {
        Self { registers, to_physical }
    }

    /// Writes each line back and drops it, as `ccache_flush_range` of Linux does.
    #[inline]
    fn flush(self, start: *const u8, len: usize) {
        hand_over(start); // the compiler stores what it kept in registers
        each_line(LINE, start, len, |line| {
            hardware::fence(); // preceding loads and stores, and the previous flush, are complete
            let physical = line.wrapping_add(self.to_physical) as u64;
            // SAFETY: (1) it is the controller's register, and a flush writes back before it drops.
            unsafe { hardware::store_u64(self.registers + FLUSH64, physical) };
        });
    }
}

// SAFETY: (1) its maker vouched for the lines. (2), (3) A fence orders preceding loads and stores with each flush, which covers
// the caches of all CPUs. The store to the register is answered when the line has been flushed
// (chipsalliance/rocket-chip-inclusive-cache, `Control.scala`), and the fence of `complete` waits for the answer. (4) It writes
// back before it drops. (5) The fence is that of devices. (6) The range is handed over, and the fence is assembly. (7) No flush
// fails.
unsafe impl Maintain for SifiveCcache {
    #[inline]
    fn granule(&self) -> usize {
        LINE
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        self.flush(start, len);
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        self.flush(start, len);
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        self.flush(start, len);
    }

    /// Does nothing: each flush has a fence before it.
    #[inline]
    fn order_observed(&self) {}

    #[inline]
    fn complete(&self) {
        hardware::fence();
    }
}

#[cfg(test)]
mod tests {
    use super::SifiveCcache;
    use crate::hardware::record::{Executed, take};
    use cachemaint::coherence;

    /// The order of Linux's `ccache_flush_range`, with the base of JH7100 (`jh7100.dtsi`). Memory begins at physical
    /// address 8000 0000H and is mapped at FFFF FFD6 0000 0000H.
    #[test]
    fn each_line_is_flushed_by_its_physical_address_between_fences() {
        // SAFETY: (1) to (3) nothing is executed.
        let cache = unsafe {
            SifiveCcache::new(0x201_0000, 0x8000_0000_usize.wrapping_sub(0xffff_ffd6_0000_0000))
        };
        let start = core::ptr::without_provenance_mut(0xffff_ffd6_0000_107f);
        let flush = |value| Executed::StoreU64 { register: 0x201_0200, value };
        let expected = [
            Executed::Fence,
            flush(0x8000_1040),
            Executed::Fence,
            flush(0x8000_1080),
            Executed::Fence,
        ];
        // SAFETY: (1) nothing is accessed at the addresses.
        unsafe { coherence::release_range(&cache, start, 2) };
        assert_eq!(take(), expected);
        // SAFETY: (1) and (2) nothing is accessed at the addresses.
        unsafe { coherence::acquire_range(&cache, start, 2) };
        assert_eq!(take(), expected);
    }
}
