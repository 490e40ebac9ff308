//! The stores that can fill blocks of memory on this CPU, and their effect on a cached line.

#[cfg(any(all(target_arch = "x86_64", not(any(cachemaint_loom, miri))), test))]
pub(crate) mod x86_64;

use crate::arch::BlockStore;

/// The stores of a CPU, and their promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockStores {
    /// One bit for each that may be executed, by its code.
    pub(crate) present: u16,
    /// True if the vendor promises that a streaming store evicts a cached line.
    pub(crate) evicts: bool,
}

impl BlockStores {
    /// Returns true if the store may be executed.
    pub(crate) const fn has(self, store: BlockStore) -> bool {
        self.present & store.code != 0
    }
}
