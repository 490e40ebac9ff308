//! Copies into and out of words that others may write meanwhile.
//!
//! Every access is to a whole word, so racing accesses never have mixed sizes, which Rust's memory model does not
//! allow. A partial word is merged by compare-and-exchange, so the rest of the word is never lost, even if other
//! threads write it. Whole words are plain stores.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

#[cfg(all(target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
use crate::arch::x86::blocks::load_words;
#[cfg(not(cachemaint_loom))]
pub(crate) use core::sync::atomic::AtomicU64;
#[cfg(cachemaint_loom)]
pub(crate) use loom::sync::atomic::AtomicU64;

/// The size of a word in bytes.
pub const WORD: usize = size_of::<u64>();

/// Returns a range of a medium with `size` bytes as places in memory.
///
/// # Panics
/// If it ends before it starts, or is out of range.
#[inline]
#[track_caller]
#[expect(clippy::cast_possible_truncation, reason = "what is in memory fits its address type")]
pub(crate) fn checked(range: &Range<u64>, size: u64) -> Range<usize> {
    if range.start > range.end || range.end > size {
        out_of_range(range.start, range.end.wrapping_sub(range.start), size);
    }
    range.start as usize..range.end as usize
}

/// Panics with the message of an access that is out of range, or of a range that ends before it starts.
///
/// # Panics
/// Always.
#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "offsets are checked above a medium; out of range is a bug there")]
pub fn out_of_range(at: u64, len: u64, size: u64) -> ! {
    let end = at.wrapping_add(len);
    assert!(at <= end || at > size, "the range {at}..{end} ends before it starts");
    panic!("{len} bytes at offset {at} are out of range: the medium has {size} bytes")
}

/// A range of bytes, split at the boundaries of words.
struct Stretch {
    /// The first word and the part of it that comes before a boundary; empty if the range begins at a boundary.
    head: (usize, Range<usize>),
    /// The first whole word.
    whole: usize,
    /// The part of the word after the whole ones, from its beginning.
    tail: usize,
}

impl Stretch {
    const fn new(at: usize, len: usize) -> Self {
        let (first, within) = (at / WORD, at % WORD);
        if within == 0 {
            return Self { head: (first, 0..0), whole: first, tail: len % WORD };
        }
        let to_boundary = WORD - within;
        let head = if len < to_boundary { len } else { to_boundary };
        Self { head: (first, within..within + head), whole: first + 1, tail: (len - head) % WORD }
    }
}

/// Copies bytes out, from byte `at` on. `words` returns a number of words from a place on; the range is valid.
#[inline]
pub(crate) fn copy_out<'a>(
    words: impl Fn(usize, usize) -> &'a [AtomicU64],
    at: usize,
    into: &mut [u8],
) {
    let Stretch { head: (first, part), whole, tail } = Stretch::new(at, into.len());
    let word = |place| words(place, 1)[0].load(Relaxed).to_ne_bytes();
    let (head, rest) = into.split_at_mut(part.len());
    if !part.is_empty() {
        head.copy_from_slice(&word(first)[part]);
    }
    let (chunks, rest) = rest.as_chunks_mut::<WORD>();
    let behind = whole + chunks.len();
    load_each(words(whole, chunks.len()), chunks);
    if tail > 0 {
        rest.copy_from_slice(&word(behind)[..tail]);
    }
}

/// Copies bytes in, from byte `at` on, in ascending order. `words` returns a number of words from a place on; the range
/// is valid.
#[inline(never)]
pub(crate) fn copy_in<'a>(words: impl Fn(usize, usize) -> &'a [AtomicU64], at: usize, from: &[u8]) {
    let Stretch { head: (first, part), whole, tail } = Stretch::new(at, from.len());
    let (head, rest) = from.split_at(part.len());
    if !part.is_empty() {
        merge(&words(first, 1)[0], part, head);
    }
    let (chunks, rest) = rest.as_chunks::<WORD>();
    let behind = whole + chunks.len();
    store_each(words(whole, chunks.len()), chunks);
    if tail > 0 {
        merge(&words(behind, 1)[0], 0..tail, rest);
    }
}

/// Returns the index of the first word and the words, if whole words are copied to byte `at`. It is small enough to be
/// inlined into the writing of events and records, which consist of whole words.
#[inline(always)]
pub(crate) const fn whole(at: u64, from: &[u8]) -> Option<(u64, &[[u8; WORD]])> {
    let (words, rest) = from.as_chunks();
    if at.is_multiple_of(WORD as u64) && rest.is_empty() {
        Some((at / WORD as u64, words))
    } else {
        None
    }
}

/// Returns the index of the first word and the words, if whole words are copied from byte `at`.
#[inline(always)]
pub(crate) const fn whole_mut(at: u64, into: &mut [u8]) -> Option<(u64, &mut [[u8; WORD]])> {
    let (words, rest) = into.as_chunks_mut();
    if at.is_multiple_of(WORD as u64) && rest.is_empty() {
        Some((at / WORD as u64, words))
    } else {
        None
    }
}

/// Loads words in any order.
#[inline(always)]
pub(crate) fn load_each(words: &[AtomicU64], chunks: &mut [[u8; WORD]]) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
    if chunks.len() >= MANY {
        return load_many(words, chunks);
    }
    for (bytes, word) in chunks.iter_mut().zip(words) {
        *bytes = word.load(Relaxed).to_ne_bytes();
    }
}

/// The number of words from which one instruction loads them.
#[cfg(all(target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
const MANY: usize = 64;

/// The compiler never joins atomic loads. One at a time they take 1.4 times as long as plain loads from the page cache
/// (measured on an Intel Xeon, family 6, model 207).
#[cfg(all(target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
#[expect(unsafe_code, reason = "an instruction that loads many words")]
fn load_many(words: &[AtomicU64], chunks: &mut [[u8; WORD]]) {
    let count = words.len().min(chunks.len());
    // SAFETY: (1) both have as many words; (2) they are atomic, and the bytes are borrowed exclusively.
    unsafe {
        load_words(chunks.as_mut_ptr().cast(), words.as_ptr().cast(), count);
    }
}

/// Stores words one after the other.
#[inline(always)]
pub(crate) fn store_each(words: &[AtomicU64], chunks: &[[u8; WORD]]) {
    for (word, bytes) in words.iter().zip(chunks) {
        word.store(u64::from_ne_bytes(*bytes), Relaxed);
    }
}

/// Replaces a part of a word.
#[cold]
fn merge(word: &AtomicU64, part: Range<usize>, bytes: &[u8]) {
    let mut old = word.load(Relaxed);
    loop {
        let mut new = old.to_ne_bytes();
        new[part.clone()].copy_from_slice(bytes);
        match word.compare_exchange_weak(old, u64::from_ne_bytes(new), Relaxed, Relaxed) {
            Ok(_) => return,
            Err(current) => old = current,
        }
    }
}

#[cfg(test)]
#[cfg(not(cachemaint_loom))]
mod tests {
    use super::{AtomicU64, copy_in, copy_out};
    use alloc::vec;
    use alloc::vec::Vec;

    /// Every offset within two words, every length up to three, against an array of bytes.
    #[test]
    fn copies_of_every_alignment_touch_exactly_their_bytes() {
        let pattern: Vec<u8> = (1..=24).collect();
        for at in 0..16 {
            for len in 0..=24 {
                let words = [const { AtomicU64::new(u64::MAX) }; 6];
                copy_in(|place, count| &words[place..][..count], at, &pattern[..len]);
                let mut expected = [0xff; 48];
                expected[at..at + len].copy_from_slice(&pattern[..len]);
                let mut all = [0; 48];
                copy_out(|place, count| &words[place..][..count], 0, &mut all);
                assert_eq!(all, expected, "at {at}, len {len}");
                let mut part = vec![0; len];
                copy_out(|place, count| &words[place..][..count], at, &mut part);
                assert_eq!(part, pattern[..len], "at {at}, len {len}");
            }
        }
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::{AtomicU64, copy_in};
    use core::slice;
    use core::sync::atomic::Ordering::Relaxed;
    use loom::sync::Arc;

    /// A load and a store in place of the exchange would lose one of them.
    #[test]
    fn threads_that_write_parts_of_one_word_lose_nothing() {
        loom::model(|| {
            let word = Arc::new(AtomicU64::new(0));
            let other = {
                let word = Arc::clone(&word);
                loom::thread::spawn(move || copy_in(|_, _| slice::from_ref(&*word), 0, &[1; 3]))
            };
            copy_in(|_, _| slice::from_ref(&*word), 5, &[2; 3]);
            other.join().unwrap();
            assert_eq!(word.load(Relaxed).to_ne_bytes(), [1, 1, 1, 0, 0, 2, 2, 2]);
        });
    }
}
