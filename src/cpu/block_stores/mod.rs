//! Which stores can fill blocks of memory here, and what they do to a line that is in the cache.

#[cfg(any(all(target_arch = "x86_64", not(any(loom, miri))), test))]
pub(crate) mod x86_64;

use crate::arch::BlockStore;
#[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
use crate::arch::block_ops;

/// What was found out about the stores of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockStores {
    /// One bit for each that may be executed, by its code.
    pub(crate) present: u16,
    /// Whether the vendor promises that a streaming store evicts a line that is in the cache.
    pub(crate) evicts: bool,
}

impl BlockStores {
    /// Whether it may be executed.
    pub(crate) const fn has(self, store: BlockStore) -> bool {
        self.present & store.code != 0
    }
}

/// Those of the CPU this program runs on.
pub(crate) fn block_stores() -> BlockStores {
    cfg_if::cfg_if! {
        if #[cfg(all(target_arch = "x86_64", not(any(loom, miri))))] {
            x86_64::here()
        } else {
            let all = block_ops::BLOCK_STORES.iter();
            BlockStores { present: all.fold(0, |codes, store| codes | store.code), evicts: false }
        }
    }
}
