//! The stand-in for WBINVD. The data of the other architectures refuse it: this is not a no-op that reports success.

/// Never called: the architecture has no operation on all caches.
///
/// # Safety
/// There is no instruction, so no call is correct.
pub unsafe fn writeback_invalidate_all() {}
