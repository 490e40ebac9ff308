//! The question if the data cache of this machine aliases.

use crate::aliasing::{self, Aliasing};
use crate::arch::native;
use crate::system::kernel;
use crate::system::tree::Tree;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Returns true if the data cache of this machine aliases, false if it does not, and `None` if that is not known.
///
/// The kernel is asked at the first call. Threads that are first together all ask it, and none waits for another: a
/// forked child does not have the thread that it would wait for.
pub(super) fn aliases_here() -> Option<bool> {
    const UNASKED: u8 = 0;
    const UNKNOWN: u8 = 1;
    const NO: u8 = 2;
    const YES: u8 = 3;
    static ANSWER: AtomicU8 = AtomicU8::new(UNASKED);
    let mut answer = ANSWER.load(Relaxed);
    if answer == UNASKED {
        let tree = Tree::host();
        let page = kernel::page_size(&tree);
        answer = match aliasing::of_machine(&native::ARCHITECTURE.data_cache, &tree, &page) {
            Aliasing::Yes { .. } => YES,
            Aliasing::No { .. } => NO,
            Aliasing::Unknown { .. } => UNKNOWN,
        };
        ANSWER.store(answer, Relaxed);
    }
    (answer != UNKNOWN).then_some(answer == YES)
}
