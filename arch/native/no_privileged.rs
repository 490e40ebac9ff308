//! Stand-ins for the privileged instructions on architectures without any.
//!
//! The architecture's data refuse each of them, so nothing here is ever called: this is not a no-op that reports
//! success.

/// Never called: the architecture has no instruction that discards.
///
/// # Safety
/// There is no instruction, so no call is correct.
#[inline(always)]
pub unsafe fn discard(_: usize) {}

/// Never called: the architecture has no operation on a whole cache.
///
/// # Safety
/// There is no instruction, so no call is correct.
pub unsafe fn writeback_invalidate_all() {}

/// Never called: the architecture has no operation on a whole cache.
///
/// # Safety
/// There is no instruction, so no call is correct.
pub unsafe fn writeback_all() {}
