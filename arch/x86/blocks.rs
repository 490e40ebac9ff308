//! Stores that fill blocks on `x86_64`, in the widths that CPUs have.
//!
//! | store | bytes at once | effect on a cached line |
//! |---|---|---|
//! | `mov`, `vmovdqa`, `vmovdqa64` | 8, 32, 64 | it is written in the cache |
//! | `movnti`, `vmovntdq` | 8, 32, 64 | Intel: it is evicted; other vendors promise nothing |
//!
//! All but the ordinary ones are weakly ordered, and SFENCE completes them.
//!
//! 512-bit vectors use registers from 16 on, whose upper halves do not slow SSE code (Intel optimization manual,
//! "Mixing AVX code with SSE code"). Only 256-bit vectors need a VZEROUPPER afterwards.
//!
//! Operands are whole registers, even if a pointer is only half of one (x32).

use super::super::{BlockStore, StoreKind};
#[cfg(target_arch = "x86_64")]
use core::arch::asm;

const MOVES: &str = "Intel SDM vol. 2B, MOV and MOVDQA; AMD APM vol. 3 and 4, the same";
const STREAMS: &str = "Intel SDM vol. 2B, MOVNTI and MOVNTDQ; AMD APM vol. 3 and 4, the same";

/// Defines a constant and a function for each store, and the list of all.
macro_rules! block_stores {
    ($(
        $(#[$documentation:meta])*
        $constant:ident, $function:ident: $code:expr, $name:literal, $kind:ident, $unit:literal,
        $requires:literal, $source:expr,
        through [$($register:tt),*] [$($instruction:literal),+] then [$($after:literal),*]
        $(, $blocks:literal at once [$($batch:literal),+])?;
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
            /// As [`copy`], for at least one block, and the CPU has the instruction.
            #[cfg(target_arch = "x86_64")]
            unsafe fn $function(to: *mut u8, from: *const u8, count: usize) {
                // SAFETY: it writes these blocks and nothing else; the CPU has the instructions, and the
                // operating system keeps the registers that they use.
                unsafe {
                    asm!(
                        $(
                            concat!("cmp {count}, ", $blocks),
                            "jb 3f",
                            "2:",
                            $($batch,)+
                            concat!("add {to}, 64 * ", $blocks),
                            concat!("add {from}, 64 * ", $blocks),
                            concat!("sub {count}, ", $blocks),
                            concat!("cmp {count}, ", $blocks),
                            "jae 2b",
                            "3:",
                            "test {count}, {count}",
                            "je 5f",
                        )?
                        "4:",
                        $($instruction,)+
                        "add {to}, 64",
                        "add {from}, 64",
                        "dec {count}",
                        "jne 4b",
                        "5:",
                        $($after,)*
                        to = inout(reg) to.expose_provenance() as u64 => _,
                        from = inout(reg) from.expose_provenance() as u64 => _,
                        count = inout(reg) count as u64 => _,
                        $(out($register) _,)*
                        options(nostack),
                    );
                }
            }
        )+

        /// All stores, the preferred one of each kind first.
        pub const BLOCK_STORES: &[BlockStore] = &[$($constant),+];

        /// Copies blocks.
        ///
        /// # Safety
        /// 1. `from` can be read and `to` written for `count` blocks, and they do not overlap.
        /// 2. `to` is a multiple of [`BLOCK`](super::super::BLOCK).
        /// 3. The CPU has the store, and the operating system or kernel saves its registers.
        #[cfg(target_arch = "x86_64")]
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

    /// Ordinary stores of 8 bytes, for CPUs without AVX and code that must not touch vector registers.
    MOV, mov: 1 << 2, "mov", Ordinary, 8, "x86_64", MOVES,
    through ["r8", "r9"]
    ["mov r8, [{from}]", "mov r9, [{from} + 8]", "mov [{to}], r8", "mov [{to} + 8], r9",
     "mov r8, [{from} + 16]", "mov r9, [{from} + 24]", "mov [{to} + 16], r8", "mov [{to} + 24], r9",
     "mov r8, [{from} + 32]", "mov r9, [{from} + 40]", "mov [{to} + 32], r8", "mov [{to} + 40], r9",
     "mov r8, [{from} + 48]", "mov r9, [{from} + 56]", "mov [{to} + 48], r8", "mov [{to} + 56], r9"]
    then [];

    /// Streaming stores of 64 bytes. The source of a large copy is not cached: with 16 lines loaded before they are
    /// stored, 64 MiB take 8.3 ms; with 8 lines 8.9 ms; with single lines 9.9 ms. (Measured in DRAM on an Intel Xeon
    /// reported as family 6 model 167; KVM guest, Linux 6.18.)
    VMOVNTDQ_512, vmovntdq_512: 1 << 3, "vmovntdq (64 bytes)", Streaming, 64,
    "CPUID.7.0:EBX[16], XCR0[7:5]", STREAMS,
    through [
        "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
        "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"
    ]
    ["vmovdqu64 zmm16, [{from}]", "vmovntdq [{to}], zmm16"] then [],
    16 at once [
        "vmovdqu64 zmm16, [{from}]", "vmovdqu64 zmm17, [{from} + 64]",
        "vmovdqu64 zmm18, [{from} + 128]", "vmovdqu64 zmm19, [{from} + 192]",
        "vmovdqu64 zmm20, [{from} + 256]", "vmovdqu64 zmm21, [{from} + 320]",
        "vmovdqu64 zmm22, [{from} + 384]", "vmovdqu64 zmm23, [{from} + 448]",
        "vmovdqu64 zmm24, [{from} + 512]", "vmovdqu64 zmm25, [{from} + 576]",
        "vmovdqu64 zmm26, [{from} + 640]", "vmovdqu64 zmm27, [{from} + 704]",
        "vmovdqu64 zmm28, [{from} + 768]", "vmovdqu64 zmm29, [{from} + 832]",
        "vmovdqu64 zmm30, [{from} + 896]", "vmovdqu64 zmm31, [{from} + 960]",
        "vmovntdq [{to}], zmm16", "vmovntdq [{to} + 64], zmm17",
        "vmovntdq [{to} + 128], zmm18", "vmovntdq [{to} + 192], zmm19",
        "vmovntdq [{to} + 256], zmm20", "vmovntdq [{to} + 320], zmm21",
        "vmovntdq [{to} + 384], zmm22", "vmovntdq [{to} + 448], zmm23",
        "vmovntdq [{to} + 512], zmm24", "vmovntdq [{to} + 576], zmm25",
        "vmovntdq [{to} + 640], zmm26", "vmovntdq [{to} + 704], zmm27",
        "vmovntdq [{to} + 768], zmm28", "vmovntdq [{to} + 832], zmm29",
        "vmovntdq [{to} + 896], zmm30", "vmovntdq [{to} + 960], zmm31"
    ];

    /// Streaming stores of 32 bytes.
    VMOVNTDQ_256, vmovntdq_256: 1 << 4, "vmovntdq (32 bytes)", Streaming, 32,
    "CPUID.1:ECX[28], XCR0[2:1]", STREAMS,
    through ["xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
             "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"]
    ["vmovdqu ymm0, [{from}]", "vmovdqu ymm1, [{from} + 32]",
     "vmovntdq [{to}], ymm0", "vmovntdq [{to} + 32], ymm1"] then ["vzeroupper"];

    /// Streaming stores of 8 bytes, for CPUs without AVX and code that must not touch vector registers.
    MOVNTI, movnti: 1 << 5, "movnti", Streaming, 8, "x86_64", STREAMS,
    through ["r8", "r9"]
    ["mov r8, [{from}]", "mov r9, [{from} + 8]", "movnti [{to}], r8", "movnti [{to} + 8], r9",
     "mov r8, [{from} + 16]", "mov r9, [{from} + 24]",
     "movnti [{to} + 16], r8", "movnti [{to} + 24], r9",
     "mov r8, [{from} + 32]", "mov r9, [{from} + 40]",
     "movnti [{to} + 32], r8", "movnti [{to} + 40], r9",
     "mov r8, [{from} + 48]", "mov r9, [{from} + 56]",
     "movnti [{to} + 48], r8", "movnti [{to} + 56], r9"]
    then [];
}

/// Stores fewer bytes than a block: whole aligned words by one store each, the rest byte by byte. `merge`, which stores
/// part of a word that others share, is not needed: a byte store leaves the other bytes of the word unchanged, even if
/// other threads store to them meanwhile, and x86 keeps it in order with the word stores.
///
/// # Safety
/// 1. `from` can be read and `to` written for `len` bytes, and they do not overlap.
/// 2. Others access `to` meanwhile only by atomic accesses.
#[cfg(target_arch = "x86_64")]
pub unsafe fn copy_part(
    to: *mut u8,
    from: *const u8,
    len: usize,
    _merge: impl FnOnce(*mut u8, *const u8, usize),
) {
    let head = (to.addr().wrapping_neg() % 8).min(len);
    let words = (len - head) / 8;
    let tail = (len - head) % 8;
    // SAFETY: it stores these bytes and nothing else (1).
    unsafe {
        asm!(
            "test {head}, {head}",
            "je 3f",
            "2:",
            "mov {byte}, [{from}]",
            "mov [{to}], {byte}",
            "inc {from}",
            "inc {to}",
            "dec {head}",
            "jne 2b",
            "3:",
            "test {words}, {words}",
            "je 5f",
            "4:",
            "mov {word}, [{from}]",
            "mov [{to}], {word}",
            "add {from}, 8",
            "add {to}, 8",
            "dec {words}",
            "jne 4b",
            "5:",
            "test {tail}, {tail}",
            "je 7f",
            "6:",
            "mov {byte}, [{from}]",
            "mov [{to}], {byte}",
            "inc {from}",
            "inc {to}",
            "dec {tail}",
            "jne 6b",
            "7:",
            head = inout(reg) head as u64 => _,
            words = inout(reg) words as u64 => _,
            tail = inout(reg) tail as u64 => _,
            to = inout(reg) to.expose_provenance() as u64 => _,
            from = inout(reg) from.expose_provenance() as u64 => _,
            byte = out(reg_byte) _,
            word = out(reg) _,
            options(nostack),
        );
    }
}

/// Loads words that others may store meanwhile, and stores them one after the other. None is torn: the instruction loads
/// each of them as MOV does, and aligned quadwords are loaded whole (Intel SDM vol. 3A, "Guaranteed Atomic Operations"
/// and "Fast-String Operation and Out-of-Order Stores"; AMD APM vol. 2, "Access Atomicity").
///
/// # Safety
/// 1. `from` can be read and `to` written for `count` words, and they do not overlap.
/// 2. `from` is a multiple of 8, others access it meanwhile only by atomic accesses of whole words, and no one else
///    accesses `to`.
#[cfg(target_arch = "x86_64")]
pub unsafe fn load_words(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: it stores these words and nothing else (1), and code of Rust has the direction flag clear.
    unsafe {
        asm!(
            "rep movsq",
            inout("rdi") to.expose_provenance() as u64 => _,
            inout("rsi") from.expose_provenance() as u64 => _,
            inout("rcx") count as u64 => _,
            options(nostack, preserves_flags),
        );
    }
}
