//! The words that contain bytes.

use crate::machine::model::WORD;
use core::ops::Range;

/// Returns the words that a range of bytes touches, each with the touched part. An empty range touches none.
#[inline]
pub(super) fn parts(at: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let end = at + len as u64;
    let touched = if len == 0 { 0..0 } else { at / WORD..end.div_ceil(WORD) };
    // Every read of a recovery is on this path: `step_by` is slower.
    touched.map(move |number| {
        let word = number * WORD;
        let start = at.saturating_sub(word) as usize;
        let stop = (end - word).min(WORD) as usize;
        (word, start..stop)
    })
}

/// Returns the number of bytes before the middle word of a range, or all of them if it touches only one word.
pub(super) fn middle(at: u64, len: usize) -> usize {
    let (first, end) = (at / WORD, (at + len as u64).div_ceil(WORD));
    let middle = first + (end - first).div_ceil(2);
    if middle < end { (middle * WORD - at) as usize } else { len }
}

/// Returns the bits of a part of a word, which is not empty.
#[inline]
pub(super) const fn mask(part: &Range<usize>) -> u64 {
    let bits = (part.end - part.start) * 8;
    (u64::MAX >> (64 - bits)) << (part.start * 8)
}
