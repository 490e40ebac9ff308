//! What a back end is made of that says no, and why.

use super::{Architecture, DataCache, Fence, Unsupported};

/// Orders every load and store of this thread, as devices see them.
pub const BARRIER: Fence = Fence(1);

/// An architecture from which nothing can be chosen: why user mode cannot maintain lines, why nobody
/// can the whole cache, and what the data cache does with one page under two addresses.
#[must_use]
pub const fn architecture(
    name: &'static str,
    why: Unsupported,
    no_whole_cache: Unsupported,
    data_cache: DataCache,
) -> Architecture {
    Architecture {
        name,
        instructions: &[],
        fences: &["none", "barrier"],
        observed: BARRIER,
        unreachable: [why, why, why],
        data_cache,
        discard: Err(why),
        whole_cache: None,
        no_whole_cache,
    }
}
