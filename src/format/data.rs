//! The parts of a medium that can have data, for a reader that looks at all of it.
//!
//! A file can have holes of any size, at no cost to its owner. They read as zeros, and no format has a header of zeros.
//!
//! # Beside a writer
//! A writer can fill a hole after the kernel was asked. An answer is as good as loads of all words of the hole, each at a
//! moment between the call and its return. A store to the hole needs a fault first, and the fault ends the hole. So the
//! reader finds the bytes that loads would find at these moments, after its earlier loads and before its later ones. A record
//! can prove that an earlier one is damaged. Its reader has seen it, and then looks at the earlier place again.
//!
//! # Work
//! The kernel is asked at the beginning of each block that has data, and not where the data end: a tmpfs looks for that page
//! by page. A block has 64 KiB, and up to 256 KiB after others with data. So a call is made for thousands of words, and a
//! reader looks only at blocks that have data. In a tmpfs its loads from the holes of such a block take their memory, once:
//! the blocks of all readers begin at multiples of their size.

#[cfg(feature = "dax")]
use crate::dax::DaxView;
use crate::medium::Readable;
use core::ops::Range;

const WORD: u64 = 8;

/// The bytes of the first block, of which the kernel is asked for the beginning of the data.
pub(crate) const BLOCK: u64 = 64 << 10;
/// The most bytes of a block.
const MOST: u64 = 256 << 10;

/// Returns the parts of a range that can have other bytes than zeros, in ascending order. The range begins at a word, and so
/// does each part.
pub(crate) fn parts<M: Readable>(medium: &M, range: Range<u64>) -> Parts<'_, M> {
    Parts { medium, range, data: Data::new() }
}

/// Returns the parts of a range of places at which a header can begin. Its second word is not zero, and a reader loads that
/// first: so it loads nothing from the hole before or after a part.
pub(crate) fn headers<M: Readable>(
    medium: &M,
    places: Range<u64>,
) -> impl Iterator<Item = Range<u64>> + use<'_, M> {
    parts(medium, places.start + WORD..places.end.saturating_add(WORD))
        .map(|part| part.start - WORD..part.end - WORD)
}

/// An iterator over the parts of a range that can have data. [`parts`] returns it.
#[derive(Debug)]
pub(crate) struct Parts<'m, M> {
    medium: &'m M,
    /// The rest of the range.
    range: Range<u64>,
    data: Data,
}

impl<M: Readable> Iterator for Parts<'_, M> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let Range { start, end } = self.range;
        if start >= end {
            return None;
        }
        let start = self.data.from(self.medium, start);
        self.range.start = self.data.known.end;
        (start < end).then(|| start..self.data.known.end.min(end))
    }
}

/// The bytes that can have data, for a reader that looks at places in ascending order.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    /// Bytes for which the kernel is not asked again: those of a block after its first data.
    known: Range<u64>,
    /// The bytes of the next block.
    block: u64,
}

impl Data {
    pub(crate) const fn new() -> Self {
        Self { known: 0..0, block: BLOCK }
    }

    /// Returns the first offset of a medium from `at` on that can have another byte than zero. It may be behind the end.
    #[inline]
    pub(crate) fn from<M: Readable>(&mut self, medium: &M, at: u64) -> u64 {
        if self.known.contains(&at) {
            return at;
        }
        // A word that has a byte of data is data.
        let data = (data_from(medium, at) / WORD * WORD).max(at);
        if data > at {
            self.block = BLOCK;
        }
        self.known = data..(data / self.block + 1).saturating_mul(self.block);
        self.block = MOST.min(2 * self.block);
        data
    }
}

/// Returns an answer of the kernel, or `at` for a medium that is not a file.
fn data_from<M: Readable>(medium: &M, at: u64) -> u64 {
    #[cfg(feature = "dax")]
    if let Some(view) = DaxView::of(medium) {
        return view.data_from(at);
    }
    #[cfg(not(feature = "dax"))]
    let _: &M = medium;
    at
}
