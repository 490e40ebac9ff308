//! The words that bytes lie in.

use crate::sim::machine::model::WORD;
use core::ops::Range;

/// Returns the words that a stretch of bytes touches, each with the part of it.
pub(super) fn parts(at: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let end = at + len as u64;
    let first = at - at % WORD;
    (first..end).step_by(WORD as usize).map(move |word| {
        let start = at.saturating_sub(word) as usize;
        let stop = (end - word).min(WORD) as usize;
        (word, start..stop)
    })
}

/// Returns the number of bytes before the word in the middle of a stretch; all of them, if it touches one word alone.
pub(super) fn middle(at: u64, len: usize) -> usize {
    let words = parts(at, len).count();
    let middle = parts(at, len).nth(words.div_ceil(2));
    middle.map_or(len, |(word, _)| (word - at) as usize)
}

/// Returns the bits of a part of a word, which is not empty.
pub(super) const fn mask(part: &Range<usize>) -> u64 {
    let bits = (part.end - part.start) * 8;
    (u64::MAX >> (64 - bits)) << (part.start * 8)
}
