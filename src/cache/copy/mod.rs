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
//! A caller can accept streaming stores with a fence alone on other vendors' CPUs
//! ([`Builder::accept_streaming_as_evicting`](super::Builder::accept_streaming_as_evicting)).
//!
//! Intel's optimization manual (248966) describes CPUs that write such a line in place too, the Pentium M by name in
//! old editions and none in newer ones. The code here relies on the architecture's manual. Direct stores, whose
//! definition leaves nothing open, are used where they are as fast. On an Intel Xeon with both (family 6, reported as
//! model 167) streaming stores are measured to evict, as the bench `streaming_stores` does on any CPU.
//!
//! The tables of `policy.rs` choose among the durable methods by size and by the caller's knowledge of the destination
//! ([`Destination`]), each with the measurement that it comes from.
//!
//! # Crashes
//! All methods store whole aligned words at once, by single stores of 8 bytes or more, so that none is torn. A part of a
//! word, at an end of the copy, may be stored byte by byte. The manuals promise more of some stores (Intel SDM vol. 3A,
//! 9.1.1: 16 bytes of `movdqa` on CPUs with AVX; vol. 2B: 64 bytes of `movdir64b`), on which nothing here relies. They say
//! nothing of the words in a wider or a streaming vector store: the test that reads words while each store is executed has
//! seen none torn on an Intel Xeon.
//!
//! # Registers
//! Vector registers are used if the CPU has them and the operating system keeps them for programs (XCR0), and never
//! in ring 0, where they belong to the program that was interrupted. A kernel in another ring, as Xen's
//! paravirtualised ones are, must save them around a copy.

mod copies;
mod edge;
mod policy;
mod run;
#[cfg(test)]
mod tests;

use super::Cache;
use crate::arch::{BlockStore, block_ops};
use crate::cpu;
use core::iter;
use core::ops::Range;
use edge::copy_edge;
use policy::Choice;
use run::{CHUNK, Execute, Part, whole_blocks};

pub use copies::Copies;

/// The caller's knowledge of the destination, for speed alone: a copy is as durable with each.
///
/// It chooses among methods that are all durable: ordinary stores that are written back, and stores past the caches where
/// the vendor promises that they leave no line behind, or where the lines are written back after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// No knowledge. Uses the method with the best worst case, over lines in any cache or in none.
    #[default]
    Unknown,
    /// The lines are likely in the first or second level of this CPU's caches, and clean: the destination was read, or
    /// written and written back, a moment ago.
    Cached,
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

impl Cache {
    /// Copies `from` to `to` and writes it back: all of `to` has reached the handle's point when this
    /// returns.
    ///
    /// Until then any of its bytes may have reached memory, in any order. An aligned word of 8 bytes that lies whole in
    /// the copy is never torn (on targets without atomics of 64 bits: a word of the CPU's size).
    ///
    /// # Ordering
    /// As [`writeback`](Self::writeback) of the copied bytes, with its one fence at the end.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Cost
    /// The stores, one write-back a line, and one fence; two where streaming stores need one before the write-back.
    #[doc(alias("memcpy", "memcpy_flushcache", "pmem_memcpy_persist", "non-temporal"))]
    pub fn copy_writeback(self, to: &mut [u8], from: &[u8], destination: Destination) {
        assert_eq!(to.len(), from.len(), "the lengths of the two slices differ");
        let part = iter::once((to.as_mut_ptr(), from.as_ptr(), to.len()));
        // SAFETY: (1) and (2) follow from the references.
        unsafe { self.copier(destination).copy(part, false) };
        self.fence();
    }

    /// Sets all bytes of `to` and writes it back, as [`copy_writeback`](Self::copy_writeback) does, at its cost.
    #[doc(alias("memset", "pmem_memset_persist", "zero"))]
    pub fn fill_writeback(self, to: &mut [u8], byte: u8, destination: Destination) {
        // SAFETY: (1) and (2) follow from the reference.
        unsafe { self.copier(destination).fill(to.as_mut_ptr(), to.len(), byte) };
        self.fence();
    }

    const fn copier(self, destination: Destination) -> Copier<Own> {
        Copier { cache: self, writes_back: true, destination: Some(destination), edge: Own }
    }
}

/// The stores of less than a block, where other bytes of its words may belong to others.
pub(crate) trait Edge {
    /// # Safety
    /// 1. `from` can be read and `to` written for `len` bytes, and they do not overlap.
    /// 2. No other thread writes `from` meanwhile, and others access `to` only as the implementation says.
    unsafe fn store(&self, to: *mut u8, from: *const u8, len: usize);
}

/// No other thread accesses the destination.
#[derive(Clone, Copy)]
pub(crate) struct Own;

impl Edge for Own {
    unsafe fn store(&self, to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: (1) is the caller's duty.
        unsafe { copy_edge(to, from, len) };
    }
}

/// A function merges the bytes into their words, which others access by atomic accesses of whole words.
impl<F: Fn(*mut u8, &[u8])> Edge for F {
    unsafe fn store(&self, to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: the bytes can be read (1), and no one writes them (2).
        self(to, unsafe { core::slice::from_raw_parts(from, len) });
    }
}

/// This machine, and whose the bytes beside the destination are.
pub(crate) struct Copier<E> {
    pub(crate) cache: Cache,
    /// Not where the caches are in the persistence domain: the fence is all then.
    pub(crate) writes_back: bool,
    /// `None`: ordinary stores at any size.
    pub(crate) destination: Option<Destination>,
    pub(crate) edge: E,
}

/// Each leaves the last fence to the caller.
impl<E: Edge> Copier<E> {
    /// Copies several parts (to, from, bytes). Where they overlap, either may stand. If `in_order`, a store that follows is
    /// not seen before the bytes.
    ///
    /// # Safety
    /// For each part
    /// 1. `from` can be read and `to` written, and they do not overlap;
    /// 2. no other thread writes `from` meanwhile, and others access `to` only by atomic accesses of whole words, with
    ///    which `edge` goes together.
    pub(crate) unsafe fn copy(
        mut self,
        parts: impl Iterator<Item = (*mut u8, *const u8, usize)> + Clone,
        in_order: bool,
    ) {
        let way = self.way();
        let mut parts = parts.map(|(to, from, len)| way.part(to, from, len));
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { run::copy(&mut self, parts.clone()) };
        if in_order && parts.any(|part| part.path.is_unordered()) {
            self.cache.fence();
        }
    }

    /// Sets all bytes of a range.
    ///
    /// # Safety
    /// As [`copy`](Self::copy), of one part.
    pub(crate) unsafe fn fill(mut self, to: *mut u8, len: usize, byte: u8) {
        if len <= SMALL {
            let bytes = [byte; SMALL];
            // SAFETY: the caller's duties; there are as many bytes.
            return unsafe { self.copy(iter::once((to, bytes.as_ptr(), len)), false) };
        }
        let chunk = [byte; PATTERN];
        let part = self.way().part(to, chunk.as_ptr(), len);
        let fill = |_| chunk.as_ptr();
        // SAFETY: the caller's duties; a chunk is not longer than that.
        unsafe { run::copy_by_chunks(&mut self, part, PATTERN, false, fill) };
    }

    /// Copies the bytes that `read` reads: it gets a range of the part and the place for its bytes. From the last bytes
    /// to the first if `backwards`, so that ranges may overlap.
    ///
    /// # Safety
    /// As [`copy`](Self::copy), of one part.
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
            return unsafe { self.copy(iter::once((to, bytes.as_ptr(), len)), false) };
        }
        let mut chunk = [0; CHUNK];
        let part = self.way().part(to, chunk.as_ptr(), len);
        let fill = |range: Range<usize>| {
            let bytes = &mut chunk[..range.len()];
            read(range, bytes);
            bytes.as_ptr()
        };
        // SAFETY: the caller's duties; the chunk is not changed before the next is asked for.
        unsafe { run::copy_by_chunks(&mut self, part, CHUNK, backwards, fill) };
    }

    fn way(&self) -> Way {
        let choice = choice().accepting(self.cache.policy().accepts_eviction());
        Way { choice, destination: self.destination.filter(|_| self.writes_back) }
    }
}

/// The input of the choice of a method for each part.
#[derive(Clone, Copy)]
struct Way {
    choice: Choice,
    /// `None`: ordinary stores.
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

impl<E: Edge> Execute for Copier<E> {
    unsafe fn blocks(&mut self, store: &BlockStore, to: *mut u8, from: *const u8, count: usize) {
        // SAFETY: both ranges are those of the copy and `to` is aligned (1); the store was found on this
        // CPU.
        unsafe { block_ops::copy(store, to, from, count) };
    }

    unsafe fn edge(&mut self, to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: both ranges are those of the copy (1), and others access its destination as `edge` says (2).
        let merge = |to, from, len| unsafe { self.edge.store(to, from, len) };
        // SAFETY: the same.
        unsafe { block_ops::copy_part(to, from, len, merge) };
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
