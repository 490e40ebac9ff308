//! Copies that have reached the handle's point when they return.
//!
//! Copying and then writing back is always right, and on many CPUs not the fastest method. Stores that bypass the cache
//! move half the bytes where the lines were not cached, and cost more than they save where they were. The vendor
//! defines the durable methods: on some CPUs a streaming store to a line that is in the first-level cache is done
//! there, and no fence brings it to memory. So a copy uses one of these methods, and is as durable by each of them:
//!
//! | method | used on | why it is durable |
//! |---|---|---|
//! | ordinary stores, write-back, fence | everywhere | as [`Cache::writeback`] |
//! | direct stores (`movdir64b`), fence | Intel | a line in the cache "is written-back (if modified) and invalidated from the cache, before the direct-store" (Intel SDM vol. 2B, MOVDIR64B) |
//! | streaming stores, fence | Intel | "the data in the caches is evicted" (Intel SDM vol. 1, 10.4.6.2, which excepts "some older CPU implementations (e.g., Pentium M)", none of them of 64 bits) |
//! | streaming stores, fence, write-back, fence | other vendors of x86 | AMD APM vol. 2, 7.5.1: a fence brings stores "into memory (or, for WB type, the cache)"; bytes left there are written back. Measured on Zen 5: lines in the first-level cache are left there, dirty |
//!
//! Intel's optimization manual (248966) describes CPUs that write such a line in place too, the Pentium M by name in
//! old editions and none in newer ones. The code here relies on the architecture's manual. Direct stores, whose
//! definition leaves nothing open, are used where they are as fast. On an Intel Xeon with both (family 6, reported as
//! model 167) streaming stores are measured to evict, as `cachemaint bench` does on any CPU.
//!
//! The tables of `policy.rs` choose among the durable methods by size and by the caller's knowledge of the destination
//! ([`Destination`]), each with the measurement that it comes from.
//!
//! # Crashes
//! Until the copy returns any of its bytes may have reached memory, in any order, whole lines or parts. Only an aligned
//! word of 8 bytes that lies whole in the copy is never torn. All methods store whole words at once, by single stores of
//! 8 bytes or more. On targets without atomics of 64 bits the words have the CPU's size. A part of a word, at an end of
//! the copy, may be stored byte by byte.
//!
//! The manuals promise more of some stores (Intel SDM vol. 3A, 9.1.1: 16 bytes of `movdqa` on CPUs with AVX; vol. 2B: 64
//! bytes of `movdir64b`), on which nothing here relies. They say nothing of the words in a wider or a streaming vector
//! store. The test that reads words while each store is executed has seen none torn on an Intel Xeon.
//!
//! # Registers
//! Vector registers are used if the CPU has them and the operating system keeps them for programs (XCR0), and never
//! in ring 0, where they belong to the program that was interrupted. A kernel in another ring, as Xen's
//! paravirtualised ones are, must save them around a copy.

mod edge;
mod policy;
mod run;
#[cfg(test)]
mod tests;
mod unfenced;

use super::Cache;
use crate::arch::{BlockStore, block_ops};
use crate::cpu;
use core::ops::Range;
use edge::copy_edge;
use policy::Choice;
use run::{CHUNK, Execute, Part, whole_blocks};

pub use unfenced::Unfenced;

/// The caller's knowledge of the destination, for speed alone: a copy is as durable with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// No knowledge. Uses the method with the best worst case, over lines in any cache or in none.
    #[default]
    Unknown,
    /// The lines are likely in the first or second level of this CPU's caches, and clean: the destination was read, or
    /// written and written back, a moment ago.
    Cached,
    /// The lines are likely as near, with stores that were not written back since.
    Dirty,
    /// The lines are likely in no cache, and no reader needs them soon.
    Cold,
}

/// The number of bytes up to which fills and moves use a buffer, which has this size: to fill a larger one takes longer
/// than such a copy.
const SMALL: usize = 256;

/// The number of bytes of the buffer by which a longer range is filled. One of [`CHUNK`] bytes took a tenth to a fifth
/// longer for 257 bytes to 4 KiB, and made no difference for more (measured on an AMD EPYC, family 25, model 17,
/// on DRAM).
const PATTERN: usize = 1024;

/// Copies that have reached the point.
impl Cache {
    /// Copies `from` to `to` and writes it back: all of `to` has reached the handle's point when this
    /// returns.
    ///
    /// # Ordering
    /// As [`writeback`](Self::writeback) of the copied bytes, with its one fence at the end.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Cost
    /// The stores, one write-back a line, and one fence; two where streaming stores need one before the write-back ([the
    /// methods](self)). Where lines are larger than 64 bytes, a line between two pieces of 4 KiB can be written back twice.
    #[doc(alias(
        "memcpy",
        "memcpy_flushcache",
        "pmem_memcpy_persist",
        "streaming",
        "non-temporal"
    ))]
    pub fn copy_writeback(self, to: &mut [u8], from: &[u8], destination: Destination) {
        assert_eq!(to.len(), from.len(), "the lengths of the two slices differ");
        // SAFETY: (1) and (2) follow from the references.
        unsafe { self.copy_writeback_range(to.as_mut_ptr(), from.as_ptr(), to.len(), destination) };
    }

    /// Sets all bytes of `to` and writes it back, as [`copy_writeback`](Self::copy_writeback) does.
    ///
    /// # Cost
    /// As there.
    #[doc(alias("memset", "pmem_memset_persist", "zero"))]
    pub fn fill_writeback(self, to: &mut [u8], byte: u8, destination: Destination) {
        // SAFETY: (1) and (2) follow from the reference.
        unsafe { self.fill_writeback_range(to.as_mut_ptr(), to.len(), byte, destination) };
    }

    /// Copies a range of `bytes` to another place in them, which may overlap it, and writes it back, as
    /// [`copy_writeback`](Self::copy_writeback) does. A crash on the way can have lost bytes of both where they
    /// overlap.
    ///
    /// # Panics
    /// If `from` ends before it starts, or either range is out of range.
    ///
    /// # Cost
    /// As there, and each byte is read into a buffer of 4 KiB before it is stored.
    #[doc(alias("memmove", "pmem_memmove_persist"))]
    pub fn copy_within_writeback(
        self,
        bytes: &mut [u8],
        from: Range<usize>,
        to: usize,
        destination: Destination,
    ) {
        let len = bytes[from.clone()].len();
        assert!(to <= bytes.len() - len, "the destination is out of range");
        let all = bytes.as_mut_ptr();
        let (source, target) = (all.wrapping_add(from.start), all.wrapping_add(to));
        let read = |range: Range<usize>, into: &mut [u8]| {
            // SAFETY: a part of `from`, which is in the slice; the buffer does not overlap the slice.
            unsafe {
                let source = source.wrapping_add(range.start);
                source.copy_to_nonoverlapping(into.as_mut_ptr(), range.len());
            };
        };
        let copier = Copier { cache: self, writes_back: true, destination, edge: copy_edge };
        // SAFETY: (1) `to` is in the slice, and the bytes read are in a buffer when they are stored; (2) the slice is
        // borrowed for writing.
        unsafe { copier.copy_read(target, len, from.start < to, read) };
    }

    /// Does [`copy_writeback`](Self::copy_writeback) for `len` bytes from `from` to `to`.
    ///
    /// # Safety
    /// 1. `from` can be read and `to` written for `len` bytes, and they do not overlap. The bytes of `from` are initialised:
    ///    padding of a value is not. A pointer among them arrives as an address.
    /// 2. No other thread accesses `to`, and none writes `from`, meanwhile.
    pub unsafe fn copy_writeback_range(
        self,
        to: *mut u8,
        from: *const u8,
        len: usize,
        destination: Destination,
    ) {
        let copier = Copier { cache: self, writes_back: true, destination, edge: copy_edge };
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { copier.copy(core::iter::once((to, from, len))) };
    }

    /// Does [`fill_writeback`](Self::fill_writeback) for `len` bytes from `to` on.
    ///
    /// # Safety
    /// 1. `to` can be written for `len` bytes.
    /// 2. No other thread accesses the range meanwhile.
    pub unsafe fn fill_writeback_range(
        self,
        to: *mut u8,
        len: usize,
        byte: u8,
        destination: Destination,
    ) {
        let copier = Copier { cache: self, writes_back: true, destination, edge: copy_edge };
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { copier.fill(to, len, byte) };
    }
}

/// This machine, and whose the bytes beside the destination are.
pub(crate) struct Copier<E> {
    pub(crate) cache: Cache,
    /// Not where the caches are in the persistence domain: the fence is all then.
    pub(crate) writes_back: bool,
    pub(crate) destination: Destination,
    /// Stores less than a block where that takes care of its words' other bytes: to, from, bytes.
    pub(crate) edge: E,
}

impl<E: Fn(*mut u8, *const u8, usize)> Copier<E> {
    /// Copies several parts (to, from, bytes) under one fence. Where they overlap, either may stand.
    ///
    /// # Safety
    /// For each part
    /// 1. `from` can be read and `to` written, and they do not overlap;
    /// 2. no other thread writes `from` meanwhile, and others access `to` only by atomic accesses of whole words, with
    ///    which `edge` goes together.
    pub(crate) unsafe fn copy(
        mut self,
        parts: impl Iterator<Item = (*mut u8, *const u8, usize)> + Clone,
    ) {
        let way = self.way();
        let parts = parts.map(|(to, from, len)| way.part(to, from, len));
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { run::copy(&mut self, parts) };
    }

    /// Does the same without the last fence, which the caller owes. If `in_order`, a store that follows is not seen before
    /// the bytes.
    ///
    /// # Safety
    /// As [`copy`](Self::copy).
    pub(crate) unsafe fn copy_unfenced(
        mut self,
        parts: impl Iterator<Item = (*mut u8, *const u8, usize)> + Clone,
        in_order: bool,
    ) {
        let way = self.way();
        let mut parts = parts.map(|(to, from, len)| way.part(to, from, len));
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { run::copy_unfenced(&mut self, parts.clone()) };
        if in_order && parts.any(|part| part.path.is_unordered()) {
            self.cache.fence();
        }
    }

    /// Sets all bytes of a range.
    ///
    /// # Safety
    /// As [`copy`](Self::copy), of one part.
    pub(crate) unsafe fn fill(self, to: *mut u8, len: usize, byte: u8) {
        let cache = self.cache;
        // SAFETY: the caller's duties.
        unsafe { self.fill_unfenced(to, len, byte) };
        cache.fence();
    }

    /// Does the same without the last fence, which the caller owes.
    ///
    /// # Safety
    /// As [`copy`](Self::copy), of one part.
    pub(crate) unsafe fn fill_unfenced(mut self, to: *mut u8, len: usize, byte: u8) {
        if len <= SMALL {
            let bytes = [byte; SMALL];
            let part = core::iter::once((to, bytes.as_ptr(), len));
            // SAFETY: the caller's duties; there are as many bytes.
            return unsafe { self.copy_unfenced(part, false) };
        }
        let chunk = [byte; PATTERN];
        let part = self.way().part(to, chunk.as_ptr(), len);
        let fill = |_| chunk.as_ptr();
        // SAFETY: the caller's duties; a chunk is not longer than that.
        unsafe { run::copy_by_chunks_unfenced(&mut self, part, PATTERN, false, fill) };
    }

    /// Copies the bytes that `read` reads: it gets a range of the part and the place for its bytes. From the last bytes
    /// to the first if `backwards`, so that ranges may overlap.
    ///
    /// # Safety
    /// As [`copy`](Self::copy), of one part.
    pub(crate) unsafe fn copy_read(
        self,
        to: *mut u8,
        len: usize,
        backwards: bool,
        read: impl FnMut(Range<usize>, &mut [u8]),
    ) {
        let cache = self.cache;
        // SAFETY: the caller's duties.
        unsafe { self.copy_read_unfenced(to, len, backwards, read) };
        cache.fence();
    }

    /// Does the same without the last fence, which the caller owes.
    ///
    /// # Safety
    /// As [`copy`](Self::copy), of one part.
    pub(crate) unsafe fn copy_read_unfenced(
        mut self,
        to: *mut u8,
        len: usize,
        backwards: bool,
        mut read: impl FnMut(Range<usize>, &mut [u8]),
    ) {
        if len <= SMALL {
            let mut bytes = [0; SMALL];
            read(0..len, &mut bytes[..len]);
            let part = core::iter::once((to, bytes.as_ptr(), len));
            // SAFETY: the caller's duties; there are as many bytes.
            return unsafe { self.copy_unfenced(part, false) };
        }
        let mut chunk = [0; CHUNK];
        let part = self.way().part(to, chunk.as_ptr(), len);
        let fill = |range: Range<usize>| {
            let bytes = &mut chunk[..range.len()];
            read(range, bytes);
            bytes.as_ptr()
        };
        // SAFETY: the caller's duties; the chunk is not changed before the next is asked for.
        unsafe { run::copy_by_chunks_unfenced(&mut self, part, CHUNK, backwards, fill) };
    }

    fn way(&self) -> Way {
        Way { choice: choice(), destination: self.writes_back.then_some(self.destination) }
    }
}

/// The input of the choice of a method for each part.
#[derive(Clone, Copy)]
struct Way {
    choice: Choice,
    /// `None` where nothing needs to be written back.
    destination: Option<Destination>,
}

impl Way {
    #[inline]
    fn part(self, to: *mut u8, from: *const u8, len: usize) -> Part {
        let (path, place) = match self.destination {
            Some(destination) => self.choice.path(whole_blocks(to, len).len(), destination),
            None => self.choice.ordinary(),
        };
        Part { to, from, len, path, store: &block_ops::BLOCK_STORES[place] }
    }
}

impl<E: Fn(*mut u8, *const u8, usize)> Execute for Copier<E> {
    unsafe fn blocks(&mut self, store: &BlockStore, to: *mut u8, from: *const u8, count: usize) {
        // SAFETY: both ranges are those of the copy and `to` is aligned (1); the store was found on this
        // CPU.
        unsafe { block_ops::copy(store, to, from, count) };
    }

    unsafe fn edge(&mut self, to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: both ranges are those of the copy (1), and others access its destination atomically (2).
        unsafe { block_ops::copy_part(to, from, len, &self.edge) };
    }

    unsafe fn writeback(&mut self, start: *const u8, len: usize) {
        if self.writes_back {
            // SAFETY: a range of the copy (1), and the fence follows (2).
            unsafe { self.cache.writeback_range_unfenced(start, len) };
        }
    }

    fn fence(&mut self) {
        self.cache.fence();
    }
}

/// Returns the stores to prefer on this CPU, determined once.
fn choice() -> Choice {
    cfg_if::cfg_if! {
        if #[cfg(all(target_has_atomic = "32", not(cachemaint_loom)))] {
            use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

            // Threads that race find the same out, and the word is all there is to publish.
            static CHOSEN: AtomicU32 = AtomicU32::new(0);
            Choice::from_word(CHOSEN.load(Relaxed)).unwrap_or_else(|| {
                let choice = find_out();
                CHOSEN.store(choice.word(), Relaxed);
                choice
            })
        } else {
            find_out()
        }
    }
}

#[cold]
fn find_out() -> Choice {
    Choice::of(block_ops::BLOCK_STORES, cpu::block_stores())
}
