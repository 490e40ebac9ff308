//! No maintenance, for coherent devices.

use super::Maintain;
use crate::arch::device;

/// For a device that is coherent with this CPU, or memory without a cache between this CPU and it, such as memory that
/// every mapping makes non-cacheable. A core without a data cache does not suffice: STM32H5 has a write-back cache
/// outside its Cortex-M33 (DCACHE). No line is written back or dropped. Such a device still needs *order*, and a compiler that knows of the device; this type provides
/// both.
///
/// [`complete`](Maintain::complete) is a full barrier for devices: MFENCE on x86, DMB OSH on arm64, FENCE IORW, IORW on
/// riscv, `sync` on powerpc, DBAR 0 on loongarch64, BCR 15,0 on s390x. Elsewhere it is a sequentially consistent fence. On
/// 32-bit arm that is DMB SY on the M profile, which orders for every observer, and DMB ISH on the A and R profiles, which
/// orders for observers in the inner shareable domain only.
///
/// On x86, plain stores to ordinary memory are in order without a barrier, and Linux's `dma_wmb` is empty there. But
/// stores that bypass the cache are not, and a driver that publishes an index and then checks whether the device sleeps
/// needs its store before its load. An owner that gives memory back after reading it needs loads before a store, which
/// `dma_wmb` (DMB OSHST on arm64) does not order either.
///
/// The compiler is handed the pointer, so that it neither keeps stores in registers beyond the operation nor reuses
/// values loaded before it. A compiler fence orders atomics only, and a compiler may conclude that no other code knows
/// the memory (rust-lang/unsafe-code-guidelines issue 321).
///
/// Not covered: a flag that is not a store. An interrupt sent through a system register of arm64 needs a DSB first; one
/// sent through an MSR of the x2APIC needs MFENCE and LFENCE (Linux `weak_wrmsr_fence`). The code that sends such a
/// flag must add that barrier.
///
/// It works on every architecture. The platform defines whether a device *is* coherent: one that is not gets old data,
/// even through memory that a hypervisor makes cacheable against the guest's mapping.
///
/// # Cost
/// One barrier per completion, however long the ranges are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coherent;

// SAFETY: (1), (2), (3) and (4) hold because the observer is coherent, or no cache holds the memory, with the order of the
// fence. (5) The barrier is
// that of the architecture for devices. (6) The range is handed over, and the barrier is assembly, or a fence on an
// architecture without one; (7) no step of it can fail.
unsafe impl Maintain for Coherent {
    /// Returns 1: coherent caches undo no stores.
    #[inline]
    fn granule(&self) -> usize {
        1
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, _: usize) {
        device::hand_over(start);
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, _: usize) {
        device::hand_over(start);
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, _: usize) {
        device::hand_over(start);
    }

    /// Does nothing: `complete` follows the operations, which only order.
    #[inline]
    fn order_observed(&self) {}

    #[inline]
    fn complete(&self) {
        device::fence();
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::Coherent;
    use crate::coherence::Maintain;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, Ordering};

    /// In every order that the Rust memory model allows.
    #[test]
    fn a_store_fenced_before_a_flag_is_seen_after_the_flag_and_a_fence() {
        loom::model(|| {
            let shared = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
            let writer = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || {
                    shared.0.store(7, Ordering::Relaxed);
                    Coherent.complete();
                    shared.1.store(1, Ordering::Relaxed);
                })
            };
            if shared.1.load(Ordering::Relaxed) == 1 {
                Coherent.complete();
                assert_eq!(shared.0.load(Ordering::Relaxed), 7);
            }
            writer.join().unwrap();
        });
    }
}
