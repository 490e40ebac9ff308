//! Stores that fill memory by whole blocks of 64 bytes, and their effect on a cached line.
//!
//! `src/cache/copy` chooses the store for a copy, and the later steps that bring the bytes to memory.

/// The number of bytes in a block: the line size of most CPUs, and the size of the widest store.
pub const BLOCK: usize = 64;

/// The effect of a store on the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreKind {
    /// The line is fetched and becomes dirty: it must be written back.
    Ordinary,
    /// Bypasses the cache. The vendor defines what happens to a cached line: it is evicted, or written in place and
    /// left dirty.
    Streaming,
}

/// A store that fills blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockStore {
    /// The mnemonic in lower case.
    pub name: &'static str,
    /// The code, a single bit: `1 <<` the place in the architecture's list.
    pub(crate) code: u16,
    /// The effect on the cache.
    pub kind: StoreKind,
    /// The number of bytes that one store writes. Others observe all or none of them only if `source` says so; aligned
    /// 8 bytes are never torn.
    pub unit: usize,
    /// The feature bit that reports it.
    pub requires: &'static str,
    /// The specification.
    pub source: &'static str,
}
