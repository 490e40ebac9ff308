//! The functions whose machine code is kept as golden files beside them, so that a review shows each change of the hot
//! path: `cargo xtask asm` compares, `cargo xtask bless` rewrites them.

#![expect(unsafe_code, reason = "functions are found by unmangled names, and take raw ranges")]
#![expect(clippy::no_mangle_with_rust_abi, reason = "nothing is linked with them; they are read")]

use cachemaint::Cache;
#[cfg(target_has_atomic = "64")]
use cachemaint::OnceCache;
use cachemaint::coherence::{self, Coherent, Maintain, Padded};
#[cfg(target_os = "linux")]
use cachemaint::dax::{DaxFile, Error};
#[cfg(target_has_atomic = "64")]
use cachemaint::medium::{Medium, Memory};
use core::sync::atomic::{AtomicUsize, Ordering};

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

/// The cache that a kernel has set: one relaxed load and a branch.
#[cfg(target_has_atomic = "64")]
#[unsafe(no_mangle)]
pub fn golden_once_cache(cell: &OnceCache) -> Option<Cache> {
    cell.get()
}

/// Two ranges under one fence.
#[unsafe(no_mangle)]
pub fn golden_batch(cache: Cache, header: &[u64; 8], payload: &[u64; 8]) {
    cache.batch(|batch| {
        batch.writeback(header);
        batch.writeback(payload);
    });
}

/// Three ranges: one fence before the first invalidation, and one after all.
#[unsafe(no_mangle)]
pub fn golden_batch_invalidate(
    cache: Cache,
    given: &[u64; 8],
    taken: &mut [u64; 8],
    both: &[u64; 8],
) {
    cache.batch(|batch| {
        batch.writeback(given);
        batch.invalidate(taken);
        batch.writeback_invalidate(both);
    });
}

/// Several ranges taken over through the trait: one fence before, and one after.
///
/// # Safety
/// As [`Maintain::issue_invalidate`], for a line from each start.
#[unsafe(no_mangle)]
pub unsafe fn golden_maintain_ranges(cache: Cache, starts: &[*mut u8]) {
    Maintain::order_observed(&cache);
    for &start in starts {
        // SAFETY: the caller's duty.
        unsafe { cache.issue_invalidate(start, 64) };
    }
    cache.complete();
}

/// The fence alone.
#[unsafe(no_mangle)]
pub fn golden_fence(cache: Cache) {
    cache.fence();
}

/// The order before a write-back of what others stored.
#[unsafe(no_mangle)]
pub fn golden_order_observed(cache: Cache) {
    cache.order_observed();
}

/// A buffer without any other reference, handed to a coherent device and taken back: it is stored before the doorbell,
/// and loaded again after it.
#[unsafe(no_mangle)]
pub fn golden_coherent_hand_over(doorbell: &AtomicUsize) -> u64 {
    let mut buffer: Padded<[u64; 8], 64> = Padded::for_granule([7; 8], 64);
    coherence::release_to_writer(&Coherent, &mut buffer);
    doorbell.store(buffer.as_ptr().addr(), Ordering::Relaxed);
    coherence::acquire(&Coherent, &mut buffer);
    buffer[0]
}

/// The pair on a line, as this machine does it.
#[unsafe(no_mangle)]
pub fn golden_release_acquire(cache: Cache, given: &[u64; 8], taken: &mut Padded<[u64; 8], 64>) {
    coherence::release(&cache, given);
    coherence::acquire(&cache, taken);
}

/// A store to plain memory, persisted.
#[cfg(target_has_atomic = "64")]
#[unsafe(no_mangle)]
pub fn golden_memory_persist(memory: &Memory<'_>, at: u64) {
    memory.store(at, 7, Ordering::Release);
    memory.issue_writeback(at..at + 8);
    memory.fence();
}

/// A store to a DAX file, persisted.
///
/// # Errors
/// As `DaxFile::persist`.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub fn golden_dax_persist(file: &DaxFile, at: u64) -> Result<(), Error> {
    file.store(at, 7, Ordering::Release);
    file.persist(at..at + 8)
}

/// The same order in a file, as logs ask it of their medium.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub fn golden_dax_order_observed(file: &DaxFile) {
    Medium::order_observed(file);
}

/// The pair on two lines, by the instructions of a T-Head core.
#[cfg(target_arch = "riscv64")]
#[unsafe(no_mangle)]
pub fn golden_xtheadcmo_release_acquire(
    cache: cachemaint_platforms::XTheadCmo,
    given: &[u64; 16],
    taken: &mut Padded<[u64; 16], 64>,
) {
    coherence::release(&cache, given);
    coherence::acquire(&cache, taken);
}
