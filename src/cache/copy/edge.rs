//! Stores of fewer bytes than a block, or of a few blocks, to bytes that no other thread accesses. Whole aligned words are
//! stored by one store each where the CPU stores 8 bytes at once, so that a crash tears none.
//!
//! # Why this file is unsafe
//! It stores to addresses whose range the caller of a copy vouches for.

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

/// Copies bytes that do not overlap.
#[inline(always)]
pub(super) fn copy_edge(to: *mut u8, from: *const u8, len: usize) {
    let words = whole_words(to, len);
    copy_piece(to, from, words.start);
    for at in words.clone().step_by(WORD) {
        // SAFETY: the source is that of a copy whose caller vouches for it.
        let word = unsafe { from.wrapping_add(at).cast::<u64>().read_unaligned() };
        store_word(to.wrapping_add(at), word);
    }
    copy_piece(to.wrapping_add(words.end), from.wrapping_add(words.end), len - words.end);
}

/// Sets bytes.
#[inline(always)]
pub(super) fn fill_edge(to: *mut u8, len: usize, byte: u8) {
    let words = whole_words(to, len);
    let word = u64::from_ne_bytes([byte; WORD]);
    copy_piece(to, (&raw const word).cast(), words.start);
    for at in words.clone().step_by(WORD) {
        store_word(to.wrapping_add(at), word);
    }
    copy_piece(to.wrapping_add(words.end), (&raw const word).cast(), len - words.end);
}

/// Stores a word by one store.
#[inline(always)]
fn store_word(to: *mut u8, word: u64) {
    // SAFETY: the word is in the destination of a copy whose caller vouches for it, and aligned.
    unsafe { word_store::store(to.cast(), word) };
}

/// Copies fewer bytes than a word, without a call of `memcpy`.
#[inline(always)]
fn copy_piece(to: *mut u8, from: *const u8, len: usize) {
    let mut at = 0;
    if len & 4 != 0 {
        // SAFETY: both ranges are those of a copy whose caller vouches for them.
        unsafe { from.cast::<[u8; 4]>().copy_to_nonoverlapping(to.cast(), 1) };
        at = 4;
    }
    if len & 2 != 0 {
        let (to, from) = (to.wrapping_add(at), from.wrapping_add(at));
        // SAFETY: as above.
        unsafe { from.cast::<[u8; 2]>().copy_to_nonoverlapping(to.cast(), 1) };
        at += 2;
    }
    if len & 1 != 0 {
        // SAFETY: as above.
        unsafe { from.wrapping_add(at).copy_to_nonoverlapping(to.wrapping_add(at), 1) };
    }
}
