//! The barrier that orders memory as devices see it, and the hand-over of memory, which the compiler must see too. Both
//! exist on every architecture, even without a back end: a coherent device needs no maintenance, but it needs ordering.
//!
//! | architecture | barrier | why it suffices |
//! |---|---|---|
//! | x86, `x86_64` | MFENCE | orders loads and stores of every memory type (Intel SDM vol. 3A, "Memory Ordering"); Linux `mb()` |
//! | x86 targets without SSE2 | a locked instruction | Linux `mb()` without `X86_FEATURE_XMM2` |
//! | aarch64 | DMB OSH | Linux `dma_mb()`, and `writel`, which has DMB OSHST between the data and the register since 5.4 (`arch/arm64/include/asm/{barrier,io}.h`) |
//! | riscv32, riscv64 | FENCE IORW, IORW | Linux `mb()` (`arch/riscv/include/asm/barrier.h`) |
//! | loongarch64 | DBAR 0 | orders everything (`LoongArch` manual vol. 1, DBAR) |
//! | s390x | BCR 15,0 | Linux `mb()` (`arch/s390/include/asm/barrier.h`) |
//! | powerpc, powerpc64 | `sync` | Linux `mb()` (`arch/powerpc/include/asm/barrier.h`) |
//! | all others | that of a sequentially consistent fence | the compiler's choice. 32-bit arm: DMB SY on the M profile; DMB ISH on A and R, which does not reach devices outside the inner shareable domain |
//!
//! It is a full barrier. Linux's `dma_wmb` and `dma_rmb`, which order stores with stores and loads with loads, are
//! weaker. An owner that gives memory back after reading it needs its loads before a store, which neither orders.

use super::native::{ARCHITECTURE, ops};

/// Orders every load and store of this thread before it with every one after it, as devices see them. The
/// compiler moves none across it either.
#[inline(always)]
pub fn fence() {
    if cfg!(all(target_arch = "x86", not(target_feature = "sse2"))) {
        // A locked instruction, since MFENCE needs SSE2.
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    } else {
        // The barrier for observed stores is a full one, for devices too.
        ops::fence(ARCHITECTURE.observed);
    }
}

macro_rules! hand_over {
    (modelled modelled) => {
        /// Does nothing: there is no device to take the memory.
        #[inline(always)]
        pub fn hand_over(_: *const u8) {}
    };
    (other no_operation) => {
        /// Makes the compiler assume that from here on an unseen observer may read and write the memory that this
        /// pointer reaches. This is the closest approximation without stable assembly: the pointer escapes, and the
        /// following fence orders what escaped.
        #[inline(always)]
        pub fn hand_over(start: *const u8) {
            core::hint::black_box(start);
        }
    };
    // Assembly is stable on every architecture with a folder.
    ($folder:ident $reader:ident) => {
        /// Makes the compiler assume that from here on an unseen observer may read and write the memory that this
        /// pointer reaches. The compiler then stores values that it kept in registers, and loads again.
        ///
        /// The pointer is an operand, since without one a compiler may conclude that assembly
        /// does not know the memory (rust-lang/rust issue 144351). It executes nothing.
        #[inline(always)]
        #[expect(unsafe_code, reason = "compilers take an empty assembly for an observer")]
        pub fn hand_over(start: *const u8) {
            // SAFETY: nothing is executed.
            unsafe {
                core::arch::asm!("/* {} */", in(reg) start, options(nostack, preserves_flags));
            };
        }
    };
}
with_native!(hand_over);
