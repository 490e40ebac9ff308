//! Stand-ins for the privileged instructions on architectures without any.
//!
//! The architecture's data refuse each of them, so nothing here is ever reached; it is never a no-op
//! that reports success.

/// Is never reached: the architecture has no instruction that discards.
///
/// # Safety
/// There is no instruction, so this cannot be called rightly.
#[inline(always)]
pub unsafe fn discard(_: usize) {}

/// Is never reached: the architecture has no operation on a whole cache.
///
/// # Safety
/// There is no instruction, so this cannot be called rightly.
pub unsafe fn writeback_invalidate_all() {}

/// Is never reached: the architecture has no operation on a whole cache.
///
/// # Safety
/// There is no instruction, so this cannot be called rightly.
pub unsafe fn writeback_all() {}
