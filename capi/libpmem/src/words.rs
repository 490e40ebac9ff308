//! Copies with ordinary stores of whole words, so that an aligned word is never torn. They are for machines without a
//! write-back instruction, on which the crate offers no copies.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bytes of a word, also where registers are smaller.
const WORD: usize = size_of::<u64>();

/// Copies `len` bytes, as `memmove` does.
///
/// # Safety
/// 1. `from` can be read and `to` written for `len` bytes.
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    let head = (to.addr().wrapping_neg() % WORD).min(len);
    let words = (len - head) / WORD;
    let tail = head + words * WORD;
    let byte = |at: usize| {
        // SAFETY: one of the bytes of both ranges (1).
        let byte = unsafe { from.wrapping_add(at).read_volatile() };
        // SAFETY: the same (1).
        unsafe { to.wrapping_add(at).write_volatile(byte) };
    };
    let word = |number: usize| {
        let at = head + number * WORD;
        // SAFETY: the word is in the range (1), wherever it begins.
        let word = unsafe { from.wrapping_add(at).cast::<u64>().read_unaligned() };
        // SAFETY: the word is in the range (1).
        unsafe { store(to.wrapping_add(at).cast(), word) };
    };
    if to.addr().wrapping_sub(from.addr()) >= len {
        (0..head).for_each(byte);
        (0..words).for_each(word);
        (tail..len).for_each(byte);
    } else {
        (tail..len).rev().for_each(byte);
        (0..words).rev().for_each(word);
        (0..head).rev().for_each(byte);
    }
}

/// Sets `len` bytes.
///
/// # Safety
/// 1. `to` can be written for `len` bytes.
pub(crate) unsafe fn fill(to: *mut u8, len: usize, byte: u8) {
    let head = (to.addr().wrapping_neg() % WORD).min(len);
    let tail = head + (len - head) / WORD * WORD;
    for at in (0..head).chain(tail..len) {
        // SAFETY: one of the bytes (1).
        unsafe { to.wrapping_add(at).write_volatile(byte) };
    }
    for at in (head..tail).step_by(WORD) {
        let word = u64::from_ne_bytes([byte; WORD]);
        // SAFETY: the word is in the range (1).
        unsafe { store(to.wrapping_add(at).cast(), word) };
    }
}

/// Stores a word with one access. On 32-bit machines, a volatile 8-byte store is two accesses.
///
/// # Safety
/// 1. `to` can be written, and is a multiple of the size of a word.
unsafe fn store(to: *mut u64, word: u64) {
    // SAFETY: the caller's duty (1).
    unsafe { AtomicU64::from_ptr(to) }.store(word, Relaxed);
}

#[cfg(test)]
mod tests {
    use core::array;
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::thread;

    /// Another thread sees an aligned word either as before a copy or a fill, or as after it.
    #[test]
    fn an_aligned_word_is_not_torn() {
        let words: [AtomicU64; 4] = array::from_fn(|_| AtomicU64::new(0));
        let (bytes, done) = ([0xff_u8; 64], AtomicBool::new(false));
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let is_whole = |word: &AtomicU64| matches!(word.load(Relaxed), 0 | u64::MAX);
                while !done.load(Relaxed) {
                    assert!(words.iter().all(is_whole), "{words:?}");
                }
            });
            let start = words.as_ptr().cast::<u8>().cast_mut();
            for from in (0..100_000).map(|count| count % 8) {
                // SAFETY: both ranges are in their arrays, and `words` is changed as an atomic may be.
                unsafe { super::copy(start, bytes.as_ptr().wrapping_add(from), 32) };
                // SAFETY: the range is in the array.
                unsafe { super::fill(start, 32, 0) };
            }
            done.store(true, Relaxed);
            watcher.join().unwrap();
        });
    }

    /// Compares with the standard library's moves and fills, for all lengths and offsets within three words.
    #[test]
    fn bytes_are_moved_as_the_standard_library_moves_them() {
        let bytes: [u8; 64] = array::from_fn(|at| u8::try_from(at).unwrap());
        for len in 0..=26 {
            for from in 0..=17 {
                for to in 0..=17 {
                    let (mut ours, mut theirs) = (bytes, bytes);
                    theirs.copy_within(from..from + len, to);
                    let start = ours.as_mut_ptr();
                    // SAFETY: both ranges are in the array.
                    unsafe { super::copy(start.wrapping_add(to), start.wrapping_add(from), len) };
                    assert_eq!(ours, theirs, "{from}..+{len} to {to}");
                    // SAFETY: the range is in the array.
                    unsafe { super::fill(ours.as_mut_ptr().wrapping_add(to), len, 0xa5) };
                    theirs[to..to + len].fill(0xa5);
                    assert_eq!(ours, theirs, "fill of {to}..+{len}");
                }
            }
        }
    }
}
