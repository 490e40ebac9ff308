//! A store of a word that no crash tears.

/// Stores a word with one store, even on 32-bit CPUs, where a volatile store is two (rustc 1.95, i686).
///
/// # Safety
/// The word can be written, is aligned, and others access it only atomically and as a whole.
#[cfg(target_has_atomic = "64")]
#[inline(always)]
pub unsafe fn store(to: *mut u64, word: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: the caller's duty.
    let to = unsafe { AtomicU64::from_ptr(to) };
    to.store(word, Ordering::Relaxed);
}

/// Stores a word with as many stores as the CPU needs. Without atomic words no words are shared.
///
/// # Safety
/// The word can be written, is aligned, and no other thread accesses it.
#[cfg(not(target_has_atomic = "64"))]
#[inline(always)]
pub unsafe fn store(to: *mut u64, word: u64) {
    // SAFETY: the caller's duty.
    unsafe { to.write_volatile(word) };
}
