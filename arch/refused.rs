//! The data of a back end that refuses every operation, with the reason.

use super::{Architecture, DataCache, Fence, Fences, Sigbus, Unsupported};

/// Orders every load and store of this thread, as devices see them.
pub const BARRIER: Fence = Fence(1);

/// Returns an architecture without operations, from the reason why nothing can be maintained,
/// and from the data cache's behaviour for one page under two addresses.
#[must_use]
pub const fn architecture(
    name: &'static str,
    why: Unsupported,
    data_cache: DataCache,
) -> Architecture {
    Architecture {
        name,
        instructions: &[],
        fences: &["none", "barrier"],
        observed: BARRIER,
        invalidate: Fences { before: BARRIER, after: BARRIER },
        unreachable: [why, why, why],
        data_cache,
        whole_cache: None,
        no_whole_cache: why,
        sigbus: Sigbus::Untried,
    }
}
