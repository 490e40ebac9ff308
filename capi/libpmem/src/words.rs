//! Copies by ordinary stores of whole words, so that an aligned word is never torn: for machines where no instruction
//! writes back, on which the crate has no copies.
#![expect(clippy::cast_ptr_alignment, reason = "the words begin at multiples of their size")]

/// The bytes of a word.
const WORD: usize = size_of::<usize>();

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
        let word = unsafe { from.wrapping_add(at).cast::<usize>().read_unaligned() };
        // SAFETY: the word is in the range (1), and begins at a multiple of its size.
        unsafe { to.wrapping_add(at).cast::<usize>().write_volatile(word) };
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
        let word = usize::from_ne_bytes([byte; WORD]);
        // SAFETY: the word is in the range (1), and begins at a multiple of its size.
        unsafe { to.wrapping_add(at).cast::<usize>().write_volatile(word) };
    }
}

#[cfg(test)]
mod tests {
    /// Compares with the standard library's moves and fills, for all lengths and places in three words.
    #[test]
    fn bytes_are_moved_as_the_standard_library_moves_them() {
        let bytes: [u8; 64] = core::array::from_fn(|at| u8::try_from(at).unwrap());
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
