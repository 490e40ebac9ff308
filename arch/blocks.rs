//! Stores that fill memory by whole blocks of 64 bytes, and their effect on a line that is in the cache.
//!
//! `src/cache/copy` chooses the one that serves a copy, and the steps after it that bring the bytes to memory.

/// Bytes in a block: the line of most CPUs, and the size of the widest store.
pub const BLOCK: usize = 64;

/// The effect of a store on the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreKind {
    /// The line is fetched and becomes dirty: it must be written back.
    Ordinary,
    /// An ordinary store with the hint that the bytes will not be used again soon.
    Hinted,
    /// Bypasses the cache. The vendor defines the fate of a line that is in it: evicted, or written in place and left
    /// dirty.
    Streaming,
    /// Bypasses the cache by definition: a line that is in it is written back and dropped before.
    Direct,
}

/// One way to fill blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockStore {
    /// The mnemonic in lower case.
    pub name: &'static str,
    /// The code, a single bit: `1 <<` the place in the architecture's list.
    pub(crate) code: u16,
    /// The effect on the cache.
    pub kind: StoreKind,
    /// Bytes that one store writes, all or none as others observe them only where `source` says so;
    /// aligned 8 bytes are never torn.
    pub unit: usize,
    /// The feature bit that says that the CPU has it.
    pub requires: &'static str,
    /// The specification.
    pub source: &'static str,
}
