//! Blocks filled by ordinary stores of words, on every architecture.
//!
//! The words are atomic, so that others may store and load meanwhile.

use super::super::{BLOCK, BlockStore, StoreKind};
use super::word_store;

/// Ordinary stores of 8 bytes.
pub const WORDS: BlockStore = BlockStore {
    name: "words",
    code: 1 << 0,
    kind: StoreKind::Ordinary,
    unit: 8,
    requires: "nothing",
    source: "the Rust memory model: relaxed atomic stores",
};

/// All stores, the preferred one of each kind first.
pub const BLOCK_STORES: &[BlockStore] = &[WORDS];

/// Copies blocks.
///
/// # Safety
/// 1. `from` can be read and `to` written for `count` blocks, and they do not overlap.
/// 2. `to` is a multiple of [`BLOCK`]. Others access it meanwhile only by atomic accesses of words.
#[inline(always)]
pub unsafe fn copy(_: &BlockStore, to: *mut u8, from: *const u8, count: usize) {
    for at in (0..count * BLOCK).step_by(WORD) {
        let (to, from) = (to.wrapping_add(at), from.wrapping_add(at));
        // SAFETY: eight bytes within the blocks (1).
        let word = unsafe { from.cast::<u64>().read_unaligned() };
        // SAFETY: eight aligned bytes within the blocks (1, 2).
        unsafe { word_store::store(to.cast(), word) };
    }
}

const WORD: usize = size_of::<u64>();

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
