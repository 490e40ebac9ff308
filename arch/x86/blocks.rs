//! Stores that fill blocks on `x86_64`, in the widths that CPUs have.
//!
//! | store | bytes at once | what becomes of a line in the cache |
//! |---|---|---|
//! | `mov`, `movdqa`, `vmovdqa`, `vmovdqa64` | 8, 16, 32, 64 | it is written there |
//! | `movnti`, `movntdq`, `vmovntdq` | 8, 16, 32, 64 | Intel: it is evicted; other vendors promise nothing |
//! | `movdir64b` | 64 | it is written back and dropped first |
//!
//! All but the ordinary ones are weakly ordered, and SFENCE completes them.
//!
//! Vectors of 512 bits go through registers from 16 on: their upper halves cost no SSE code anything
//! (Intel optimization manual, "Mixing AVX code with SSE code"), so that only those of 256 bits need a
//! VZEROUPPER behind them.

use super::super::{BlockStore, StoreKind};
#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
use core::arch::asm;

const MOVES: &str = "Intel SDM vol. 2B, MOV and MOVDQA; AMD APM vol. 3 and 4, the same";
const STREAMS: &str = "Intel SDM vol. 2B, MOVNTI and MOVNTDQ; AMD APM vol. 3 and 4, the same";

/// Makes a constant of each way and the function that executes it, and the list of them all.
macro_rules! block_stores {
    ($(
        $(#[$documentation:meta])*
        $constant:ident, $function:ident: $code:expr, $name:literal, $kind:ident, $unit:literal,
        $requires:literal, $source:expr,
        through [$($register:tt),*] [$($instruction:literal),+] then [$($after:literal),*];
    )+) => {
        $(
            $(#[$documentation])*
            pub const $constant: BlockStore = BlockStore {
                name: $name,
                code: $code,
                kind: StoreKind::$kind,
                unit: $unit,
                requires: $requires,
                source: $source,
            };

            /// # Safety
            /// As [`copy`], of at least one block, and the CPU has it.
            #[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
            unsafe fn $function(to: *mut u8, from: *const u8, count: usize) {
                // SAFETY: it writes these blocks and nothing else; the CPU has the instructions, and the
                // operating system keeps the registers that they use.
                unsafe {
                    asm!(
                        "2:",
                        $($instruction,)+
                        "add {to}, 64",
                        "add {from}, 64",
                        "dec {count}",
                        "jne 2b",
                        $($after,)*
                        to = inout(reg) to => _,
                        from = inout(reg) from => _,
                        count = inout(reg) count => _,
                        $(out($register) _,)*
                        options(nostack),
                    );
                }
            }
        )+

        /// Every way, the preferred one of each kind first.
        pub const BLOCK_STORES: &[BlockStore] = &[$($constant),+];

        /// Copies blocks.
        ///
        /// # Safety
        /// 1. `from` can be read and `to` written for `count` blocks, and they do not overlap.
        /// 2. `to` is a multiple of [`BLOCK`](super::super::BLOCK).
        /// 3. The CPU has the store, and the operating system or kernel keeps its registers.
        #[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
        pub unsafe fn copy(store: &BlockStore, to: *mut u8, from: *const u8, count: usize) {
            if count == 0 {
                return;
            }
            $(
                if store.code == $constant.code {
                    // SAFETY: (1) to (3) are the caller's duties, and there is a block.
                    unsafe { $function(to, from, count) };
                    return;
                }
            )+
        }
    };
}

block_stores! {
    /// Ordinary stores of 64 bytes.
    VMOVDQA64, vmovdqa64: 1 << 0, "vmovdqa64", Ordinary, 64, "CPUID.7.0:EBX[16], XCR0[7:5]", MOVES,
    through ["xmm16"]
    ["vmovdqu64 zmm16, [{from}]", "vmovdqa64 [{to}], zmm16"] then [];

    /// Ordinary stores of 32 bytes.
    VMOVDQA, vmovdqa: 1 << 1, "vmovdqa", Ordinary, 32, "CPUID.1:ECX[28], XCR0[2:1]", MOVES,
    through ["xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
             "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"]
    ["vmovdqu ymm0, [{from}]", "vmovdqu ymm1, [{from} + 32]",
     "vmovdqa [{to}], ymm0", "vmovdqa [{to} + 32], ymm1"] then ["vzeroupper"];

    /// Ordinary stores of 16 bytes.
    MOVDQA, movdqa: 1 << 2, "movdqa", Ordinary, 16, "x86_64", MOVES,
    through ["xmm0", "xmm1", "xmm2", "xmm3"]
    ["movdqu xmm0, [{from}]", "movdqu xmm1, [{from} + 16]",
     "movdqu xmm2, [{from} + 32]", "movdqu xmm3, [{from} + 48]",
     "movdqa [{to}], xmm0", "movdqa [{to} + 16], xmm1",
     "movdqa [{to} + 32], xmm2", "movdqa [{to} + 48], xmm3"] then [];

    /// Ordinary stores of 8 bytes, for code that must not touch vector registers.
    MOV, mov: 1 << 3, "mov", Ordinary, 8, "x86_64", MOVES,
    through ["r8", "r9"]
    ["mov r8, [{from}]", "mov r9, [{from} + 8]", "mov [{to}], r8", "mov [{to} + 8], r9",
     "mov r8, [{from} + 16]", "mov r9, [{from} + 24]", "mov [{to} + 16], r8", "mov [{to} + 24], r9",
     "mov r8, [{from} + 32]", "mov r9, [{from} + 40]", "mov [{to} + 32], r8", "mov [{to} + 40], r9",
     "mov r8, [{from} + 48]", "mov r9, [{from} + 56]", "mov [{to} + 48], r8", "mov [{to} + 56], r9"]
    then [];

    /// Streaming stores of 64 bytes.
    VMOVNTDQ_512, vmovntdq_512: 1 << 4, "vmovntdq (64 bytes)", Streaming, 64,
    "CPUID.7.0:EBX[16], XCR0[7:5]", STREAMS,
    through ["xmm16"]
    ["vmovdqu64 zmm16, [{from}]", "vmovntdq [{to}], zmm16"] then [];

    /// Streaming stores of 32 bytes.
    VMOVNTDQ_256, vmovntdq_256: 1 << 5, "vmovntdq (32 bytes)", Streaming, 32,
    "CPUID.1:ECX[28], XCR0[2:1]", STREAMS,
    through ["xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
             "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"]
    ["vmovdqu ymm0, [{from}]", "vmovdqu ymm1, [{from} + 32]",
     "vmovntdq [{to}], ymm0", "vmovntdq [{to} + 32], ymm1"] then ["vzeroupper"];

    /// Streaming stores of 16 bytes.
    MOVNTDQ, movntdq: 1 << 6, "movntdq", Streaming, 16, "x86_64", STREAMS,
    through ["xmm0", "xmm1", "xmm2", "xmm3"]
    ["movdqu xmm0, [{from}]", "movdqu xmm1, [{from} + 16]",
     "movdqu xmm2, [{from} + 32]", "movdqu xmm3, [{from} + 48]",
     "movntdq [{to}], xmm0", "movntdq [{to} + 16], xmm1",
     "movntdq [{to} + 32], xmm2", "movntdq [{to} + 48], xmm3"] then [];

    /// Streaming stores of 8 bytes, for code that must not touch vector registers.
    MOVNTI, movnti: 1 << 7, "movnti", Streaming, 8, "x86_64", STREAMS,
    through ["r8", "r9"]
    ["mov r8, [{from}]", "mov r9, [{from} + 8]", "movnti [{to}], r8", "movnti [{to} + 8], r9",
     "mov r8, [{from} + 16]", "mov r9, [{from} + 24]",
     "movnti [{to} + 16], r8", "movnti [{to} + 24], r9",
     "mov r8, [{from} + 32]", "mov r9, [{from} + 40]",
     "movnti [{to} + 32], r8", "movnti [{to} + 40], r9",
     "mov r8, [{from} + 48]", "mov r9, [{from} + 56]",
     "movnti [{to} + 48], r8", "movnti [{to} + 56], r9"]
    then [];

    /// A whole block at once, past the caches: a line that is in them is written back and dropped before.
    MOVDIR64B, movdir64b: 1 << 8, "movdir64b", Direct, 64, "CPUID.7.0:ECX[28]",
    "Intel SDM vol. 2B, MOVDIR64B",
    through []
    ["movdir64b {to}, [{from}]"] then [];
}
