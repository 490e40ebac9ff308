//! The data caches of a T-Head core.

use crate::{each_line, hardware};
use cachemaint::coherence::{Maintain, hand_over};

/// The data caches of a T-Head core with an MMU (C906, C910, C920), maintained by the vendor's instructions
/// `XTheadCmo`.
///
/// ```
/// # #[cfg(all(target_arch = "riscv64", target_os = "none"))] {
/// use cachemaint::coherence::{self, Padded};
/// use cachemaint_platforms::XTheadCmo;
///
/// // SAFETY: (1) the board has an Allwinner D1 with one C906, and this code runs in S-mode; (2) its lines have 64 bytes.
/// // (3), (5) There is one CPU, and (4) no other cache.
/// const CACHE: XTheadCmo = unsafe { XTheadCmo::new() };
///
/// fn receive(buffer: &mut Padded<[u8], 64>, run_device: impl FnOnce(*mut u8, usize)) {
///     coherence::release_to_writer(&CACHE, buffer);
///     run_device(buffer.as_mut_ptr(), buffer.len());
///     coherence::acquire(&CACHE, buffer);
/// }
/// # }
/// ```
///
/// # Interrupts
/// A handler may call it, also while it interrupts a call: an operation is one instruction, and nothing is kept between
/// two. The interrupted call goes on with the next line.
///
/// # Cost
/// An instruction for each line of 64 bytes; `th.sync.s` before invalidations; `th.sync.s` and a fence afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XTheadCmo(());

/// The line size in bytes. Linux `errata_probe_cmo` (`arch/riscv/errata/thead/errata.c`): `L1_CACHE_BYTES`.
const LINE: usize = 64;

impl XTheadCmo {
    /// Returns the data caches of this CPU.
    ///
    /// # Safety
    /// 1. Wherever it is used, the CPU has `XTheadCmo`, `XTheadSync` and an MMU (`mvendorid` is 5B7H, `th.sxstatus.THEADISAEE` is
    ///    1), and is in M- or S-mode. A core without an MMU, such as E906 and E907, ignores the instructions.
    /// 2. Its lines have 64 bytes.
    /// 3. A CPU with pending operations executes `th.sync.s` before the thread moves to another CPU.
    /// 4. No cache but T-Head's is between the CPU and the observer.
    /// 5. Operations reach the first-level caches of all CPUs that share the memory. T-Head's specification does not say so;
    ///    Linux relies on it for the four C910 of a TH1520.
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

/// Executes the instruction on each line.
#[inline]
fn issue(operate: unsafe fn(usize), start: *const u8, len: usize) {
    hand_over(start); // the compiler stores what it kept in registers
    // SAFETY: (1) the maker of the value vouched for the CPU.
    each_line(LINE, start, len, |line| unsafe { operate(line) });
}

#[inline]
fn sync() {
    // SAFETY: (1) the maker of the value vouched for the CPU.
    unsafe { hardware::sync_s() };
}

// SAFETY: (1) its maker vouched for the lines. (2) An operation observes preceding stores of this CPU to its line: Linux and
// FreeBSD (`sys/riscv/thead/thead.c`) have no barrier before it. (3), (5) `th.sync.s` orders what precedes, loads and operations,
// with what follows; the fence of `complete` orders loads and stores also as devices see them, as that of `writel` in Linux.
// (4) Both operations write back before they drop. (6) The range is handed over, and instructions are assembly. (7) They raise no
// exception.
unsafe impl Maintain for XTheadCmo {
    #[inline]
    fn granule(&self) -> usize {
        LINE
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        issue(hardware::dcache_cva, start, len);
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        issue(hardware::dcache_civa, start, len);
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        issue(hardware::dcache_civa, start, len);
    }

    #[inline]
    fn order_observed(&self) {
        sync();
    }

    #[inline]
    fn complete(&self) {
        sync();
        hardware::fence();
    }
}

#[cfg(test)]
mod tests {
    use super::XTheadCmo;
    use crate::hardware::record::{
        Executed::{DcacheCiva, DcacheCva, Fence, SyncS},
        take,
    };
    use cachemaint::coherence;

    // SAFETY: (1) to (5) nothing is executed.
    const CACHE: XTheadCmo = unsafe { XTheadCmo::new() };

    #[test]
    fn lines_are_written_back_before_the_barriers() {
        // 65 bytes from 4000_0030H: the last byte is at 4000_0070H, in the second line.
        let start = core::ptr::without_provenance(0x4000_0030);
        // SAFETY: (1) nothing is accessed at the addresses.
        unsafe { coherence::release_range(&CACHE, start, 65) };
        assert_eq!(take(), [DcacheCva(0x4000_0000), DcacheCva(0x4000_0040), SyncS, Fence]);
    }

    #[test]
    fn a_line_is_dropped_after_the_loads_before() {
        let start = core::ptr::without_provenance_mut(0x4000_0000);
        // SAFETY: (1) and (2) nothing is accessed at the addresses.
        unsafe { coherence::acquire_range(&CACHE, start, 64) };
        assert_eq!(take(), [SyncS, DcacheCiva(0x4000_0000), SyncS, Fence]);
    }
}
