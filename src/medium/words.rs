//! Copies in and out of words that others may write meanwhile.
//!
//! Every access is one of a whole word, so that accesses which race are never of mixed size, which
//! Rust's memory model does not allow. A part of a word is merged in by compare-and-exchange, so the
//! rest of the word is never lost, whoever writes it; whole words are plain stores.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::AtomicU64;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicU64;

/// The size of a word in bytes.
pub(crate) const WORD: usize = size_of::<u64>();

/// A stretch of bytes, taken apart at the boundaries of words.
struct Stretch {
    /// The first word and the part of it that comes before a boundary; empty if there is none.
    head: (usize, Range<usize>),
    /// The first whole word.
    whole: usize,
    /// The part of the word behind the whole ones, from its beginning.
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

/// Copies bytes out, from byte `at` on. `word` gives the word of a place; the stretch is in range.
#[inline]
pub(crate) fn copy_out<'a>(word: impl Fn(usize) -> &'a AtomicU64, at: usize, into: &mut [u8]) {
    let Stretch { head: (first, part), whole, tail } = Stretch::new(at, into.len());
    let (head, rest) = into.split_at_mut(part.len());
    if !part.is_empty() {
        head.copy_from_slice(&word(first).load(Relaxed).to_ne_bytes()[part]);
    }
    let (words, rest) = rest.as_chunks_mut::<WORD>();
    for (bytes, place) in words.iter_mut().zip(whole..) {
        *bytes = word(place).load(Relaxed).to_ne_bytes();
    }
    if tail > 0 {
        rest.copy_from_slice(&word(whole + words.len()).load(Relaxed).to_ne_bytes()[..tail]);
    }
}

/// Copies bytes in, from byte `at` on, in ascending order. `word` gives the word of a place; the
/// stretch is in range.
#[inline]
pub(crate) fn copy_in<'a>(word: impl Fn(usize) -> &'a AtomicU64, at: usize, from: &[u8]) {
    let Stretch { head: (first, part), whole, tail } = Stretch::new(at, from.len());
    let (head, rest) = from.split_at(part.len());
    if !part.is_empty() {
        merge(word(first), part, head);
    }
    let (words, rest) = rest.as_chunks::<WORD>();
    for (bytes, place) in words.iter().zip(whole..) {
        word(place).store(u64::from_ne_bytes(*bytes), Relaxed);
    }
    if tail > 0 {
        merge(word(whole + words.len()), 0..tail, rest);
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
#[cfg(not(loom))]
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
                copy_in(|place| &words[place], at, &pattern[..len]);
                let mut expected = [0xff; 48];
                expected[at..at + len].copy_from_slice(&pattern[..len]);
                let mut all = [0; 48];
                copy_out(|place| &words[place], 0, &mut all);
                assert_eq!(all, expected, "at {at}, len {len}");
                let mut part = vec![0; len];
                copy_out(|place| &words[place], at, &mut part);
                assert_eq!(part, pattern[..len], "at {at}, len {len}");
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::{AtomicU64, copy_in};
    use core::sync::atomic::Ordering::Relaxed;
    use loom::sync::Arc;

    /// A load and a store in place of the exchange would lose one of them.
    #[test]
    fn threads_that_write_parts_of_one_word_lose_nothing() {
        loom::model(|| {
            let word = Arc::new(AtomicU64::new(0));
            let other = {
                let word = Arc::clone(&word);
                loom::thread::spawn(move || copy_in(|_| &*word, 0, &[1; 3]))
            };
            copy_in(|_| &*word, 5, &[2; 3]);
            other.join().unwrap();
            assert_eq!(word.load(Relaxed).to_ne_bytes(), [1, 1, 1, 0, 0, 2, 2, 2]);
        });
    }
}
