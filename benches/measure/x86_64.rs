//! Operations on `x86_64` without a safe form: the time stamp counter, MFENCE, streaming stores.

#[path = "../../arch/x86/blocks.rs"]
#[expect(dead_code, unreachable_pub, reason = "the library uses all of it")]
mod block_stores;

use super::streaming::{Line, Width};
use super::{BlockStore, StoreKind};
use cachemaint::Cache;
use core::arch::asm;

pub(super) use block_stores::{BLOCK_STORES, copy as copy_blocks};

/// Returns the time stamp counter, read when everything before has completed locally and nothing after has begun.
#[inline]
pub(super) fn time_stamp_counter() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: LFENCE is part of the architecture (SSE2) and RDTSC of every CPU that has it; user
    // mode may execute it where the system's own clock does, and the registers are declared.
    unsafe {
        asm!("lfence", "rdtsc", "lfence", out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Orders and completes all earlier loads, stores and flushes of this thread.
#[inline]
pub(super) fn mfence() {
    // SAFETY: MFENCE is part of the architecture (SSE2) and changes neither register nor value.
    unsafe { asm!("mfence", options(nostack, preserves_flags)) };
}

/// Writes a line back and waits for it with MFENCE.
#[inline]
pub(super) fn writeback_and_mfence(cache: Cache, line: &Line) {
    let start = core::ptr::from_ref(line).cast();
    // SAFETY: (1) the line can be read; (2) MFENCE follows, which completes what SFENCE completes.
    unsafe { cache.writeback_range_unfenced(start, size_of::<Line>()) };
    mfence();
}

/// Completes streaming stores of this thread.
#[inline]
pub(super) fn sfence() {
    // SAFETY: SFENCE is part of the architecture (SSE) and changes neither register nor value.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}

/// Returns true if the CPU has the store, and the system saves the registers that it uses (XGETBV).
pub(super) fn has(store: &BlockStore) -> bool {
    match store.unit {
        64 => std::arch::is_x86_feature_detected!("avx512f"),
        32 => std::arch::is_x86_feature_detected!("avx"),
        _ => true,
    }
}

/// Returns a function that stores whole lines with streaming stores of this width, if the CPU has them. An SFENCE
/// completes them.
pub(super) fn streaming(width: Width) -> Option<impl Fn(&[Line], &[[u64; 8]])> {
    let is_it = |store: &&BlockStore| {
        store.kind == StoreKind::Streaming && store.unit == width.bytes() && has(store)
    };
    let store = BLOCK_STORES.iter().find(is_it)?;
    Some(move |to: &[Line], from: &[[u64; 8]]| {
        assert_eq!(to.len(), from.len(), "lines");
        let count = to.len();
        let (to, from) = (to.as_ptr().cast_mut().cast(), from.as_ptr().cast());
        // SAFETY: (1) the source is a reference and as long as the target. The words of the lines may be changed
        // through a shared reference, and no other thread has them. (2) The lines are aligned so. (3) The CPU has the
        // store.
        unsafe { copy_blocks(store, to, from, count) };
    })
}
