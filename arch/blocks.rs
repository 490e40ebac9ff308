//! Stores that fill memory by whole blocks of 64 bytes: what each is, and what it does to a line that is in
//! the cache.
//!
//! Which of them serves a copy, and what must follow so that the bytes reach memory, is chosen in
//! `src/cache/copy`.

/// Bytes in a block: the line of most CPUs, and what the widest store fills.
pub const BLOCK: usize = 64;

/// What a store does to the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreKind {
    /// The line is fetched and becomes dirty: it must be written back.
    Ordinary,
    /// The same, with the hint that the bytes will not be used again soon.
    Hinted,
    /// Bypasses the cache. What becomes of a line that is in it is a matter of the vendor: evicted, or
    /// written in place and left dirty.
    Streaming,
    /// Bypasses the cache by definition: a line that is in it is written back and dropped before.
    Direct,
}

/// One way to fill blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockStore {
    /// Its mnemonic in lower case.
    pub name: &'static str,
    /// The one bit that stands for it: `1 <<` its place in the architecture's list.
    pub(crate) code: u16,
    /// What it does to the cache.
    pub kind: StoreKind,
    /// Bytes that one store writes, all or none as others observe them only where `source` says so;
    /// aligned 8 bytes are never torn.
    pub unit: usize,
    /// The feature bit that says that the CPU has it.
    pub requires: &'static str,
    /// Where it is specified.
    pub source: &'static str,
}
