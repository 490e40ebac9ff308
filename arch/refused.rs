//! What a back end is made of that says no, and why.

use super::{Architecture, Fence, Unsupported};

/// An architecture from which nothing can be chosen: why user mode cannot maintain lines, why nobody
/// can the whole cache, and who says that the data cache does not alias.
#[must_use]
pub const fn architecture(
    name: &'static str,
    why: Unsupported,
    no_whole_cache: Unsupported,
    no_aliasing: Option<&'static str>,
) -> Architecture {
    Architecture {
        name,
        instructions: &[],
        fences: &["none"],
        observed: Fence::NONE,
        unreachable: [why, why, why],
        no_aliasing,
        no_whole_cache,
    }
}
