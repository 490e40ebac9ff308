//! The copies of this machine. The caller executes the last fence.

use super::Destination;
use super::edge::{copy_edge, fill_edge};
use super::executor::{self, CHUNK, Executor, Part, whole_blocks};
use super::table::{Preferred, is_always_ordinary};
use crate::arch::{BlockStore, Effect, block_ops};
use crate::cache::Cache;
use crate::cpu;
use core::iter;
use core::ops::Range;

/// The number of bytes up to which fills and moves use a buffer of this size: filling a larger one takes longer than
/// such a copy.
const SMALL: usize = 256;

/// The size of the buffer for filling a longer range. A buffer of [`CHUNK`] bytes took a tenth to a fifth longer for
/// 257 bytes to 4 KiB, and made no difference above (measured on an AMD EPYC, family 25, model 17, on DRAM).
const PATTERN: usize = 1024;

/// Copies and fills of address ranges. Their bytes have reached the handle's point when the caller's [`Cache::fence`]
/// returns.
///
/// `merge` stores less than a block, where other threads may own the remaining bytes of a word.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Copier<M = fn(*mut u8, &[u8])> {
    /// The handle that writes lines back. `None` if the caches are in the persistence domain, or if the caller writes
    /// back later: then the stores are ordinary ones.
    pub(crate) lines: Option<Cache>,
    /// `None`: ordinary stores at any size.
    pub(crate) destination: Option<Destination>,
    pub(crate) merge: M,
}

impl Cache {
    /// Returns copies to bytes that no other thread accesses. They use ordinary stores if nothing is written back, or
    /// if no `destination` is given.
    #[doc(hidden)]
    #[must_use]
    pub const fn copier(self, destination: Option<Destination>, writes_back: bool) -> Copier {
        Copier { lines: if writes_back { Some(self) } else { None }, destination, merge: store_own }
    }
}

/// Stores bytes that no other thread accesses.
fn store_own(to: *mut u8, from: &[u8]) {
    // SAFETY: (1) the source is a reference, and the executor of a copy names a part of its destination.
    unsafe { copy_edge(to, from.as_ptr(), from.len()) };
}

/// For the C libraries of this family.
impl Copier {
    /// Copies `len` bytes from `from` to `to`, which may overlap.
    ///
    /// Guarantees nothing about memory until [`Cache::fence`] has been called on the same thread. A crash before that
    /// can leave any mix of old and new aligned words of 8 bytes, but tears none that lies wholly in `to`. If the
    /// ranges overlap, it can lose bytes of both.
    ///
    /// # Safety
    /// 1. `from` can be read and `to` written for `len` bytes, and the bytes of `from` are initialised (padding is
    ///    not). A copied pointer loses its provenance.
    /// 2. No other thread writes `from` meanwhile. None accesses `to` before [`Cache::fence`] has returned on this thread:
    ///    streaming stores are not ordered before a later store, even one with [`Ordering::Release`]
    ///    (`core::arch::x86_64::_mm_sfence`, "Safety of non-temporal stores").
    ///
    /// [`Ordering::Release`]: core::sync::atomic::Ordering::Release
    #[inline]
    pub unsafe fn copy(self, to: *mut u8, from: *const u8, len: usize) {
        let overlap =
            to.addr().wrapping_sub(from.addr()) < len || from.addr().wrapping_sub(to.addr()) < len;
        if overlap {
            // SAFETY: (1) and (2) are the caller's duties.
            return unsafe { self.copy_overlapping(to, from, len) };
        }
        if self.is_short(len) {
            // SAFETY: (1) is the caller's duty, and they do not overlap.
            unsafe { copy_edge(to, from, len) };
            // SAFETY: (1) the range can be read: the caller's duty (1).
            return unsafe { self.writeback_all(to, len) };
        }
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.copy_long(to, from, len) };
    }

    /// # Safety
    /// As [`copy`](Self::copy), and the ranges do not overlap.
    #[inline(never)]
    unsafe fn copy_long(self, to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: (1) the caller's duty, and they do not overlap; (2) is the caller's duty.
        unsafe { self.copy_long_parts(iter::once((to, from, len)), false) };
    }

    /// Copies through a buffer. It is a separate function, so that other copies need no stack for the buffer.
    ///
    /// # Safety
    /// As [`copy`](Self::copy).
    #[inline(never)]
    unsafe fn copy_overlapping(self, to: *mut u8, from: *const u8, len: usize) {
        let read = |range: Range<usize>, into: &mut [u8]| {
            let from = from.wrapping_add(range.start);
            // SAFETY: a part of `from` (1); the buffer is another value.
            unsafe { from.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
        };
        // SAFETY: (1) the caller's duty, and the bytes are in a buffer when they are stored; (2) is the caller's duty.
        unsafe { self.copy_read(to, len, from.addr() < to.addr(), read) };
    }

    /// Sets `len` bytes from `to` to `byte`, with the guarantee of [`copy`](Self::copy).
    ///
    /// # Safety
    /// 1. `to` can be written for `len` bytes.
    /// 2. No other thread accesses the range before [`Cache::fence`] has returned on this thread.
    #[inline]
    pub unsafe fn fill(self, to: *mut u8, len: usize, byte: u8) {
        if self.is_short(len) {
            // SAFETY: (1) is the caller's duty.
            unsafe { fill_edge(to, len, byte) };
            // SAFETY: (1) the range can be read: the caller's duty (1).
            return unsafe { self.writeback_all(to, len) };
        }
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.fill_by_chunks(to, len, byte) };
    }
}

/// Each function leaves the last fence to the caller.
impl<M: Fn(*mut u8, &[u8])> Copier<M> {
    /// Copies several parts (to, from, bytes). Where parts overlap, the bytes of either may remain. If `in_order`, no
    /// later store is seen before the bytes.
    ///
    /// # Safety
    /// For each part
    /// 1. `from` can be read and `to` written, and they do not overlap;
    /// 2. no other thread writes `from` meanwhile, and others access `to` only by atomic accesses of whole words, with
    ///    which `merge` is compatible.
    #[inline(always)]
    pub(crate) unsafe fn copy_parts(
        self,
        parts: impl Iterator<Item = (*mut u8, *const u8, usize)> + Clone,
        in_order: bool,
    ) {
        let mut all = parts.clone();
        match (all.next(), all.next()) {
            (Some((to, from, len)), None) if self.is_short(len) => {
                // SAFETY: (1) and (2) are the caller's duties.
                unsafe { self.copy_short(to, from, len) };
            }
            // SAFETY: (1) and (2) are the caller's duties.
            _ => unsafe { self.copy_long_parts(parts, in_order) },
        }
    }

    /// Copies a few lines, with few instructions and little stack before the first store.
    ///
    /// This helps a program that makes one record after another durable: the stores of the next copy fetch their lines
    /// while the previous fence is still pending. A full store buffer ends that overlap. So does a load from the stack
    /// that cannot take its bytes from one pending store, since no store leaves the buffer before the fence is
    /// complete.
    ///
    /// # Safety
    /// As [`copy_parts`](Self::copy_parts), of one part.
    #[inline(always)]
    unsafe fn copy_short(self, to: *mut u8, from: *const u8, len: usize) {
        let merge = |to, from, len| {
            // SAFETY: the bytes can be read, and no one writes them (1, 2).
            (self.merge)(to, unsafe { core::slice::from_raw_parts(from, len) });
        };
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { block_ops::copy_part(to, from, len, merge) };
        // SAFETY: (1) the range can be read: the caller's duty (1).
        unsafe { self.writeback_all(to, len) };
    }

    /// Always inlined: a call would pass the parts and the copier in memory, where they are written as words and read
    /// as vectors. Such a load waits for the previous copy's fence: 330 ns instead of 179 for 64 bytes that are in no
    /// cache (measured on an AMD EPYC, family 25, model 17).
    ///
    /// # Safety
    /// As [`copy_parts`](Self::copy_parts).
    #[inline(always)]
    unsafe fn copy_long_parts(
        mut self,
        parts: impl Iterator<Item = (*mut u8, *const u8, usize)> + Clone,
        in_order: bool,
    ) {
        let stores = Stores::of(&self);
        let parts = parts.map(
            #[inline(always)]
            |(to, from, len)| stores.part(to, from, len),
        );
        // SAFETY: (1) and (2) are the caller's duties.
        let is_unordered = unsafe { executor::copy(&mut self, parts) };
        if in_order && is_unordered {
            self.fence();
        }
    }

    /// Sets all bytes of a range.
    ///
    /// # Safety
    /// As [`copy_parts`](Self::copy_parts), of one part.
    #[inline(never)]
    pub(crate) unsafe fn fill_by_chunks(mut self, to: *mut u8, len: usize, byte: u8) {
        if len <= SMALL {
            let bytes = [byte; SMALL];
            // SAFETY: the caller's duties; there are as many bytes.
            return unsafe { self.copy_long_parts(iter::once((to, bytes.as_ptr(), len)), false) };
        }
        let chunk = [byte; PATTERN];
        let part = self.part(to, chunk.as_ptr(), len);
        let fill = |_| chunk.as_ptr();
        // SAFETY: the caller's duties; a chunk is not longer than that.
        unsafe { executor::copy_by_chunks(&mut self, part, PATTERN, false, fill) };
    }

    /// Copies bytes that `read` supplies: it gets a range of the part and a buffer for its bytes. If `backwards`,
    /// copies from the last bytes to the first, so that the ranges may overlap.
    ///
    /// # Safety
    /// As [`copy_parts`](Self::copy_parts), of one part.
    pub(crate) unsafe fn copy_read(
        mut self,
        to: *mut u8,
        len: usize,
        backwards: bool,
        mut read: impl FnMut(Range<usize>, &mut [u8]),
    ) {
        if len <= SMALL {
            let mut bytes = [0; SMALL];
            read(0..len, &mut bytes[..len]);
            // SAFETY: the caller's duties; there are as many bytes.
            return unsafe { self.copy_long_parts(iter::once((to, bytes.as_ptr(), len)), false) };
        }
        let mut chunk = [0; CHUNK];
        let part = self.part(to, chunk.as_ptr(), len);
        let fill = |range: Range<usize>| {
            let bytes = &mut chunk[..range.len()];
            read(range, bytes);
            bytes.as_ptr()
        };
        // SAFETY: the caller's duties; the chunk is not changed before the next is asked for.
        unsafe { executor::copy_by_chunks(&mut self, part, CHUNK, backwards, fill) };
    }

    /// Returns true for a short range, which every table fills by ordinary stores. Measured on an AMD EPYC (family 25,
    /// model 17): word stores cost 1.00 to 1.01 of the time of libpmem's vector stores, 1.04 from 192 bytes on if no
    /// cache has the lines. With the lookup in a table they cost 1.03 to 1.11.
    #[inline(always)]
    fn is_short(&self, len: usize) -> bool {
        let destination = self.destination.filter(|_| self.lines.is_some());
        len < SMALL && is_always_ordinary(len, destination.unwrap_or_default())
    }

    /// # Safety
    /// 1. As for [`Cache::writeback_range`].
    #[inline(always)]
    unsafe fn writeback_all(&self, start: *const u8, len: usize) {
        if let Some(cache) = self.lines {
            // SAFETY: (1) is the caller's duty; (2) the caller of a copy owes the fence.
            unsafe { cache.writeback_range_unfenced(start, len) };
        }
    }

    #[inline(always)]
    pub(super) fn part(&self, to: *mut u8, from: *const u8, len: usize) -> Part {
        Stores::of(self).part(to, from, len)
    }
}

/// The stores to choose from for each part.
#[derive(Clone, Copy)]
struct Stores {
    preferred: Preferred,
    /// The effect of the instruction that writes back, and the destination. `None`: ordinary stores.
    choice: Option<(Effect, Destination)>,
}

impl Stores {
    #[inline(always)]
    fn of<M>(copier: &Copier<M>) -> Self {
        let choice = copier.lines.map(Cache::writeback_effect).zip(copier.destination);
        Self { preferred: preferred(), choice }
    }

    /// Always inlined: see [`Copier::copy_long_parts`].
    #[inline(always)]
    fn part(self, to: *mut u8, from: *const u8, len: usize) -> Part {
        let (method, place) = match self.choice {
            Some((writeback, destination)) => {
                let blocks = whole_blocks(to, len).len();
                self.preferred.method(blocks, destination, writeback)
            }
            None => self.preferred.ordinary(),
        };
        Part { to, from, len, method, store: &block_ops::BLOCK_STORES[place] }
    }
}

impl<M: Fn(*mut u8, &[u8])> Executor for Copier<M> {
    unsafe fn blocks(&mut self, store: &BlockStore, to: *mut u8, from: *const u8, count: usize) {
        // SAFETY: both ranges are those of the copy and `to` is aligned (1); the store was found on this
        // CPU.
        unsafe { block_ops::copy(store, to, from, count) };
    }

    unsafe fn edge(&mut self, to: *mut u8, from: *const u8, len: usize) {
        let merge = |to, from, len| {
            // SAFETY: the bytes can be read, and no one writes them (1, 2).
            (self.merge)(to, unsafe { core::slice::from_raw_parts(from, len) });
        };
        // SAFETY: the same.
        unsafe { block_ops::copy_part(to, from, len, merge) };
    }

    unsafe fn writeback(&mut self, start: *const u8, len: usize) {
        // SAFETY: a range of the copy (1).
        unsafe { self.writeback_all(start, len) };
    }

    fn fence(&mut self) {
        if let Some(cache) = self.lines {
            cache.fence();
        }
    }
}

/// Returns the stores to prefer on this CPU, determined once.
fn preferred() -> Preferred {
    cfg_if::cfg_if! {
        if #[cfg(all(target_has_atomic = "64", not(cachemaint_loom)))] {
            use crate::cache::once::OnceWord;

            // Racing threads find the same answer.
            static CHOSEN: OnceWord = OnceWord::new();
            CHOSEN.get().map_or_else(
                || {
                    let preferred = find_out();
                    let _same = CHOSEN.set(preferred.word());
                    preferred
                },
                Preferred::from_word,
            )
        } else {
            find_out()
        }
    }
}

#[cold]
fn find_out() -> Preferred {
    Preferred::of(block_ops::BLOCK_STORES, cpu::block_stores())
}
