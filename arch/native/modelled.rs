//! The instructions of the modelled back end.

use super::super::modelled::{FENCE, WRITEBACK, WRITEBACK_INVALIDATE};
use super::super::{Fence, Instruction};
#[cfg(not(cachemaint_loom))]
use core::sync::atomic;
#[cfg(cachemaint_loom)]
use loom::sync::atomic;

/// Calls `then` with the instruction of this code.
#[inline(always)]
pub fn select<R>(code: u8, then: impl FnOnce(Instruction) -> R) -> R {
    then(if code & WRITEBACK.code != 0 { WRITEBACK } else { WRITEBACK_INVALIDATE })
}

/// Executes nothing.
///
/// # Safety
/// None needed; the real back ends need some.
#[inline(always)]
#[expect(unsafe_code, reason = "the signature is that of the back ends that have instructions")]
pub unsafe fn execute(_: Instruction, _: usize) {}

/// Executes a sequentially consistent fence of the Rust memory model.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == FENCE {
        atomic::fence(atomic::Ordering::SeqCst);
    }
}
