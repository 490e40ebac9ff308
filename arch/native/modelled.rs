//! The instructions of the modelled back end.

use super::super::modelled::{FENCE, WRITEBACK, WRITEBACK_INVALIDATE};
use super::super::{Fence, Fences, Instruction, for_each_line};
#[cfg(not(cachemaint_loom))]
use core::sync::atomic;
#[cfg(cachemaint_loom)]
use loom::sync::atomic;

/// Executes the fences of the instruction, and visits the lines.
///
/// # Safety
/// None needed; the real back ends need some.
#[inline(always)]
#[expect(unsafe_code, reason = "the signature is that of the back ends that have instructions")]
pub unsafe fn maintain(
    code: u8,
    start: *const u8,
    len: usize,
    within: u16,
    fences: impl FnOnce(Instruction) -> Fences,
) {
    let instruction = if code & WRITEBACK.code != 0 { WRITEBACK } else { WRITEBACK_INVALIDATE };
    let Fences { before, after } = fences(instruction);
    fence(before);
    for_each_line(start, len, within, |_| {});
    fence(after);
}

/// Executes a sequentially consistent fence of the Rust memory model.
#[inline(always)]
pub fn fence(fence: Fence) {
    if fence == FENCE {
        atomic::fence(atomic::Ordering::SeqCst);
    }
}
