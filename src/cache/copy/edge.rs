//! Stores of fewer bytes than a block, or of a few blocks, to bytes that no other thread accesses. Each whole aligned
//! word is one store if the CPU can store 8 bytes at once, so that a crash does not tear it.

use crate::arch::native::word_store;
use core::ops::Range;

const WORD: usize = size_of::<u64>();

/// Returns the range of the whole words of a destination; an empty one at the end if it has no whole word.
#[inline(always)]
fn whole_words(to: *const u8, len: usize) -> Range<usize> {
    let head = to.addr().wrapping_neg() % WORD;
    match len.checked_sub(head) {
        Some(rest) => head..head + rest / WORD * WORD,
        None => len..len,
    }
}

/// Copies `len` bytes.
///
/// # Safety
/// 1. `from` can be read and `to` written for `len` bytes, and they do not overlap.
#[inline(always)]
pub(super) unsafe fn copy_edge(to: *mut u8, from: *const u8, len: usize) {
    let words = whole_words(to, len);
    // SAFETY: the bytes before the words (1).
    unsafe { copy_piece(to, from, words.start) };
    for at in words.clone().step_by(WORD) {
        // SAFETY: a word of the range (1).
        let word = unsafe { from.wrapping_add(at).cast::<u64>().read_unaligned() };
        // SAFETY: a word of the range (1), aligned.
        unsafe { word_store::store(to.wrapping_add(at).cast(), word) };
    }
    let (to, from) = (to.wrapping_add(words.end), from.wrapping_add(words.end));
    // SAFETY: the bytes behind the words (1).
    unsafe { copy_piece(to, from, len - words.end) };
}

/// Sets `len` bytes.
///
/// # Safety
/// 1. `to` can be written for `len` bytes.
#[inline(always)]
pub(super) unsafe fn fill_edge(to: *mut u8, len: usize, byte: u8) {
    let words = whole_words(to, len);
    let word = u64::from_ne_bytes([byte; WORD]);
    // SAFETY: the bytes before the words, fewer than one (1).
    unsafe { copy_piece(to, (&raw const word).cast(), words.start) };
    for at in words.clone().step_by(WORD) {
        // SAFETY: a word of the range (1), aligned.
        unsafe { word_store::store(to.wrapping_add(at).cast(), word) };
    }
    // SAFETY: the bytes behind the words, fewer than one (1).
    unsafe { copy_piece(to.wrapping_add(words.end), (&raw const word).cast(), len - words.end) };
}

/// Copies fewer bytes than a word, without a call of `memcpy`.
///
/// # Safety
/// 1. As [`copy_edge`].
#[inline(always)]
unsafe fn copy_piece(to: *mut u8, from: *const u8, len: usize) {
    let mut at = 0;
    if len & 4 != 0 {
        // SAFETY: (1) is the caller's duty.
        unsafe { from.cast::<[u8; 4]>().copy_to_nonoverlapping(to.cast(), 1) };
        at = 4;
    }
    if len & 2 != 0 {
        let (to, from) = (to.wrapping_add(at), from.wrapping_add(at));
        // SAFETY: (1) is the caller's duty.
        unsafe { from.cast::<[u8; 2]>().copy_to_nonoverlapping(to.cast(), 1) };
        at += 2;
    }
    if len & 1 != 0 {
        // SAFETY: (1) is the caller's duty.
        unsafe { from.wrapping_add(at).copy_to_nonoverlapping(to.wrapping_add(at), 1) };
    }
}
