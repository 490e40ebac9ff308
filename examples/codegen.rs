//! The functions whose machine code is kept as golden files in `tests/asm`, so that a change of the
//! hot path is seen in review: `cargo xtask asm --check` compares, `--bless` writes them anew.

#![expect(unsafe_code, reason = "functions are found by unmangled names, and take raw ranges")]
#![expect(clippy::no_mangle_with_rust_abi, reason = "nothing is linked with them; they are read")]

use cachemaint::Cache;

/// A persist of any range: write-back and fence.
///
/// # Safety
/// As [`Cache::writeback_range`].
#[unsafe(no_mangle)]
pub unsafe fn golden_writeback_range(cache: Cache, start: *const u8, len: usize) {
    // SAFETY: the caller's duty.
    unsafe { cache.writeback_range(start, len) };
}

/// A write-back of any range, without the fence.
///
/// # Safety
/// As [`Cache::writeback_range_unfenced`].
#[unsafe(no_mangle)]
pub unsafe fn golden_writeback_range_unfenced(cache: Cache, start: *const u8, len: usize) {
    // SAFETY: the caller's duty.
    unsafe { cache.writeback_range_unfenced(start, len) };
}

/// A persist of a word, whose size the compiler knows.
#[unsafe(no_mangle)]
pub fn golden_writeback_word(cache: Cache, word: &u64) {
    cache.writeback(word);
}

/// An invalidation.
#[unsafe(no_mangle)]
pub fn golden_invalidate(cache: Cache, line: &mut [u64; 8]) {
    cache.invalidate(line);
}

/// The handle of the host: one relaxed load and a branch after the first call.
#[unsafe(no_mangle)]
pub fn golden_host(word: &u64) -> bool {
    match Cache::host() {
        Ok(cache) => {
            cache.writeback(word);
            true
        }
        Err(_) => false,
    }
}

/// Two ranges under one fence.
#[unsafe(no_mangle)]
pub fn golden_batch(cache: Cache, header: &[u64; 8], payload: &[u64; 8]) {
    cache.batch(|batch| {
        batch.writeback(header);
        batch.writeback(payload);
    });
}
