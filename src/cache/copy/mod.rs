//! Copies that have reached the handle's point when they return.
//!
//! Copying and then writing back is always correct, but on many CPUs it is not the fastest method. Stores that bypass
//! the cache move half the bytes if the lines were not cached, and cost more than they save if they were. Whether they
//! are durable depends on the vendor: on some CPUs a streaming store to a line in the first-level cache is done there,
//! and no fence brings it to memory. A copy uses one of these methods, all equally durable:
//!
//! | method | used on | why it is durable |
//! |---|---|---|
//! | ordinary stores, write-back, fence | everywhere | as [`Cache::writeback`] |
//! | streaming stores, fence | Intel | "the data in the caches is evicted" (Intel SDM vol. 1, 10.4.6.2, which excepts "some older CPU implementations (e.g., Pentium M)", none of them of 64 bits) |
//! | streaming stores, fence, write-back, fence | other vendors of x86 | AMD APM vol. 2, 7.5.1: a fence brings stores "into memory (or, for WB type, the cache)"; bytes left there are written back. Measured on Zen 5: lines in the first-level cache are left there, dirty |
//!
//! Intel's optimization manual (248966) also describes CPUs that write such a line in place: old editions name the
//! Pentium M, newer ones name none. The code here relies on the architecture's manual. On an Intel Xeon (family 6,
//! reported as model 167), streaming stores were measured to evict; the bench `streaming_stores` measures this on any
//! CPU. Direct stores (`movdir64b`), whose definition leaves nothing open, are not used: from 16 KiB to 1 MiB they take
//! 1.2 to 1.36 times as long (model 207).
//!
//! The tables of `table.rs` choose among the durable methods by size, by the caller's knowledge of the destination
//! ([`Destination`]), and by whether the write-back keeps the line. Each table states the measurement that it comes
//! from, and all follow one rule.
//!
//! # Crashes
//! All methods store whole aligned words by single stores of 8 bytes or more, so that none is torn. A partial word at
//! an end of the copy may be stored byte by byte. The manuals promise more for some stores (Intel SDM vol. 3A, 9.1.1:
//! 16 bytes of `movdqa` on CPUs with AVX), but nothing here relies on that. They say
//! nothing about the words of a wider or a streaming vector store: the test that reads words during each store has seen
//! none torn on an Intel Xeon.
//!
//! # Registers
//! Vector registers are used if the CPU has them and the operating system saves them for programs (XCR0), but never in
//! ring 0, where they belong to the interrupted program. A kernel in another ring, such as a paravirtualised one of
//! Xen, must save them around a copy.

mod copier;
mod edge;
mod executor;
mod table;
#[cfg(test)]
mod tests;

use super::Cache;
use core::iter;

pub use copier::Copier;

/// The caller's knowledge of the destination. It affects only speed: a copy is equally durable with each.
///
/// It selects among durable methods: ordinary stores with a write-back, and stores past the caches where the vendor
/// promises that they leave no line behind, or where the lines are written back after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// No knowledge. Uses the method with the best worst case, whether or not the lines are cached.
    #[default]
    Unknown,
    /// The lines are likely in the first or second level of this CPU's caches, and clean: the destination was read, or
    /// written and written back, a moment ago.
    Cached,
    /// The lines are likely in no cache, and no reader needs them soon.
    Cold,
}

impl Cache {
    /// Copies `from` to `to` and writes it back: all of `to` has reached the handle's point when this
    /// returns.
    ///
    /// Before that, any of its bytes may have reached memory, in any order. An aligned word of 8 bytes that lies wholly
    /// in the copy is never torn (on targets without 64-bit atomics: a word of the CPU's size).
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
        unsafe { self.copier(Some(destination), true).copy_parts(part, false) };
        self.fence();
    }

    /// Sets all bytes of `to` and writes it back, as [`copy_writeback`](Self::copy_writeback) does, at its cost.
    #[doc(alias("memset", "pmem_memset_persist", "zero"))]
    pub fn fill_writeback(self, to: &mut [u8], byte: u8, destination: Destination) {
        // SAFETY: (1) and (2) follow from the reference.
        unsafe { self.copier(Some(destination), true).fill(to.as_mut_ptr(), to.len(), byte) };
        self.fence();
    }
}
