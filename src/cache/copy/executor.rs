//! The execution of a copy: the store for each byte, and the order of the steps after it.
//!
//! A range is split into the 64-byte blocks that it fills, and the edges before and after them:
//!
//! ```text
//!   to ──► ···· [head][ block ][ block ][ … ][tail] ····
//!              edge     whole blocks          edge
//! ```
//!
//! The caller's function stores the edges, since other threads may own the remaining bytes of their words; edges are
//! always written back. Blocks use the stores of the [`Method`]. The code is generic over the executor: this machine,
//! or a recorder in tests.

use super::table::Method;
use crate::arch::{BLOCK, BlockStore};
use core::ops::Range;

/// The number of bytes of ordinary stores after which their lines are written back: few enough for the lines to be in
/// the first-level cache still, and enough to keep stores and write-backs busy.
pub(super) const CHUNK: usize = 4096;

/// The executor of a copy's steps.
pub(super) trait Executor {
    /// Fills `count` whole blocks at `to`.
    ///
    /// # Safety
    /// 1. Both ranges are those of the copy, and `to` is a multiple of [`BLOCK`].
    unsafe fn blocks(&mut self, store: &BlockStore, to: *mut u8, from: *const u8, count: usize);

    /// Stores less than a block, by ordinary stores.
    ///
    /// # Safety
    /// 1. Both ranges are those of the copy.
    unsafe fn edge(&mut self, to: *mut u8, from: *const u8, len: usize);

    /// Issues the write-back of a range.
    ///
    /// # Safety
    /// 1. The range is one of the copy.
    unsafe fn writeback(&mut self, start: *const u8, len: usize);

    /// Completes stores and write-backs of this thread.
    fn fence(&mut self);
}

/// A part of a copy, and the method for its blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) to: *mut u8,
    pub(super) from: *const u8,
    pub(super) len: usize,
    pub(super) method: Method,
    pub(super) store: &'static BlockStore,
}

impl Part {
    /// Returns true if streaming may leave lines of the part in the cache.
    fn is_left(&self) -> bool {
        self.method == Method::StreamingThenWriteback
    }

    fn blocks(&self) -> Range<usize> {
        whole_blocks(self.to, self.len)
    }
}

/// Returns the range of the whole blocks: from the first boundary on, as many as fit.
#[inline]
pub(super) fn whole_blocks(to: *const u8, len: usize) -> Range<usize> {
    let head = to.addr().wrapping_neg() % BLOCK;
    match len.checked_sub(head) {
        Some(rest) => head..head + rest / BLOCK * BLOCK,
        None => len..len,
    }
}

/// Carries out all parts: their bytes have reached the handle's point when a fence of
/// this thread has returned. Returns true if a later store can be seen before them.
///
/// # Safety
/// 1. The duties of [`Executor`] hold for each range in the parts.
#[inline(always)]
pub(super) unsafe fn copy(
    executor: &mut impl Executor,
    parts: impl Iterator<Item = Part> + Clone,
) -> bool {
    let (mut is_left, mut is_unordered) = (false, false);
    for part in parts.clone() {
        // SAFETY: (1) is the caller's duty.
        unsafe { issue(executor, &part) };
        is_left |= part.is_left();
        is_unordered |= part.method.is_unordered();
    }
    if is_left {
        // SAFETY: (1) is the caller's duty.
        unsafe { write_back_streamed(executor, parts) };
    }
    is_unordered && !is_left
}

/// Carries out one part in chunks of `size` bytes, a multiple of [`BLOCK`]. `fill` returns the bytes of a chunk, which
/// stay valid until the next chunk is asked for. If `backwards`, goes from the last chunk to the first. The bytes have
/// reached the handle's point when a fence of this thread has returned.
///
/// # Safety
/// 1. The duties of [`Executor`] hold for each range in the part, and for the bytes that `fill` gives.
pub(super) unsafe fn copy_by_chunks(
    executor: &mut impl Executor,
    part: Part,
    size: usize,
    backwards: bool,
    mut fill: impl FnMut(Range<usize>) -> *const u8,
) {
    // Chunks end where blocks do, so that none is cut in two.
    let lead = part.to.addr() % BLOCK;
    let count = if part.len == 0 { 0 } else { (lead + part.len).div_ceil(size) };
    for number in 0..count {
        let number = if backwards { count - 1 - number } else { number };
        let start = (number * size).saturating_sub(lead);
        let end = ((number + 1) * size - lead).min(part.len);
        let to = part.to.wrapping_add(start);
        let chunk = Part { to, from: fill(start..end), len: end - start, ..part };
        // SAFETY: (1) is the caller's duty.
        unsafe { issue(executor, &chunk) };
    }
    if part.is_left() {
        // SAFETY: (1) is the caller's duty.
        unsafe { write_back_streamed(executor, core::iter::once(part)) };
    }
}

/// Stores a part, and issues the write-backs that need no fence first.
///
/// # Safety
/// As [`copy`].
#[inline(always)]
unsafe fn issue(executor: &mut impl Executor, part: &Part) {
    let blocks = part.blocks();
    // The edges come first: merging one into its word can take a locked instruction, which waits for everything
    // streamed before it.
    for edge in [0..blocks.start, blocks.end..part.len] {
        // SAFETY: the caller's duty.
        unsafe { store_edge(executor, part, edge) };
    }
    match part.method {
        Method::Ordinary => {
            // SAFETY: the caller's duty.
            unsafe { store_and_writeback(executor, part, blocks) };
        }
        Method::Streaming | Method::StreamingThenWriteback => {
            for edge in [0..blocks.start, blocks.end..part.len] {
                // SAFETY: the caller's duty.
                unsafe { writeback(executor, part, edge) };
            }
            // SAFETY: the caller's duty.
            unsafe { store_blocks(executor, part, blocks) };
        }
    }
}

/// Writes back the lines that streaming may have left in the cache.
///
/// # Safety
/// As [`copy`].
#[inline(never)]
unsafe fn write_back_streamed(executor: &mut impl Executor, parts: impl Iterator<Item = Part>) {
    // Only a fence orders streaming stores before the write-back of their lines.
    executor.fence();
    for part in parts.filter(Part::is_left) {
        // SAFETY: the caller's duty.
        unsafe { writeback(executor, &part, part.blocks()) };
    }
}

/// Stores blocks, and writes back the lines behind them, including those of the edges.
///
/// # Safety
/// As [`copy`].
#[inline(always)]
unsafe fn store_and_writeback(executor: &mut impl Executor, part: &Part, blocks: Range<usize>) {
    let (mut stored, mut written_back) = (blocks.start, 0);
    while blocks.end - stored > CHUNK {
        // SAFETY: the caller's duty.
        unsafe { store_blocks(executor, part, stored..stored + CHUNK) };
        stored += CHUNK;
        // SAFETY: the caller's duty.
        unsafe { writeback(executor, part, written_back..stored) };
        written_back = stored;
    }
    // SAFETY: the caller's duty.
    unsafe { store_blocks(executor, part, stored..blocks.end) };
    // SAFETY: the caller's duty.
    unsafe { writeback(executor, part, written_back..part.len) };
}

/// # Safety
/// As [`copy`].
#[inline(always)]
unsafe fn store_blocks(executor: &mut impl Executor, part: &Part, range: Range<usize>) {
    if !range.is_empty() {
        let (to, from) = (part.to.wrapping_add(range.start), part.from.wrapping_add(range.start));
        // SAFETY: whole blocks of the part: the caller's duty.
        unsafe { executor.blocks(part.store, to, from, range.len() / BLOCK) };
    }
}

/// # Safety
/// As [`copy`].
#[inline(always)]
unsafe fn store_edge(executor: &mut impl Executor, part: &Part, range: Range<usize>) {
    if !range.is_empty() {
        let (to, from) = (part.to.wrapping_add(range.start), part.from.wrapping_add(range.start));
        // SAFETY: a range of the part, shorter than a block: the caller's duty.
        unsafe { executor.edge(to, from, range.len()) };
    }
}

/// # Safety
/// As [`copy`].
#[inline(always)]
unsafe fn writeback(executor: &mut impl Executor, part: &Part, range: Range<usize>) {
    if !range.is_empty() {
        // SAFETY: a range of the part: the caller's duty.
        unsafe { executor.writeback(part.to.wrapping_add(range.start), range.len()) };
    }
}
