//! Stores that fill blocks on arm64, through integer registers, which kernels may use too.
//!
//! They write to the cache, and the lines must be written back. Each of the two registers of a pair is a single-copy
//! atomic access of 8 bytes if it is aligned (Arm ARM, "Requirements for single-copy atomicity"). Operands are whole
//! registers, even where a pointer is half of one (ILP32).

use super::super::{BlockStore, StoreKind};
use core::arch::asm;

/// Ordinary stores of pairs of registers.
pub const STP: BlockStore = BlockStore {
    name: "stp",
    code: 1 << 0,
    kind: StoreKind::Ordinary,
    unit: 8,
    requires: "ARMv8.0",
    source: "Arm ARM (DDI 0487), STP",
};

/// All stores, the preferred one of each kind first.
pub const BLOCK_STORES: &[BlockStore] = &[STP];

/// Copies blocks.
///
/// # Safety
/// 1. `from` can be read and `to` written for `count` blocks, and they do not overlap.
/// 2. `to` is a multiple of [`BLOCK`](super::super::BLOCK).
/// 3. Unaligned accesses are permitted, as under operating systems.
pub unsafe fn copy(_: &BlockStore, to: *mut u8, from: *const u8, count: usize) {
    if count == 0 {
        return;
    }
    // SAFETY: it writes these blocks and nothing else (1 to 3).
    unsafe {
        asm!(
            "2:",
            "ldp x8, x9, [{from}]",
            "ldp x10, x11, [{from}, #16]",
            "ldp x12, x13, [{from}, #32]",
            "ldp x14, x15, [{from}, #48]",
            "stp x8, x9, [{to}]",
            "stp x10, x11, [{to}, #16]",
            "stp x12, x13, [{to}, #32]",
            "stp x14, x15, [{to}, #48]",
            "add {from}, {from}, #64",
            "add {to}, {to}, #64",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            to = inout(reg) to.expose_provenance() as u64 => _,
            from = inout(reg) from.expose_provenance() as u64 => _,
            count = inout(reg) count as u64 => _,
            out("x8") _, out("x9") _, out("x10") _, out("x11") _,
            out("x12") _, out("x13") _, out("x14") _, out("x15") _,
            options(nostack),
        );
    }
}

/// Stores fewer bytes than a block, with `merge`, since other threads may own the remaining bytes of their words.
///
/// # Safety
/// 1. `from` can be read and `to` written for `len` bytes, and they do not overlap.
#[inline(always)]
pub unsafe fn copy_part(
    to: *mut u8,
    from: *const u8,
    len: usize,
    merge: impl FnOnce(*mut u8, *const u8, usize),
) {
    merge(to, from, len);
}
