//! What has no safe form on `x86_64`: the time stamp counter, MFENCE, streaming stores.

use super::streaming::{Line, Width};
use cachemaint::Cache;
use core::arch::asm;
use core::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_loadu_si128, _mm_stream_si64, _mm_stream_si128,
    _mm256_loadu_si256, _mm256_stream_si256, _mm512_loadu_si512, _mm512_stream_si512,
};

/// The time stamp counter, read when everything before has completed locally and nothing after has
/// begun.
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

/// Writes a line back, and waits for it by MFENCE.
#[inline]
pub(super) fn writeback_and_mfence(cache: Cache, line: &Line) {
    let start = core::ptr::from_ref(line).cast();
    // SAFETY: (1) the line can be read; (2) MFENCE follows, which completes what SFENCE completes.
    unsafe { cache.writeback_range_unfenced(start, size_of::<Line>()) };
    mfence();
}

#[inline]
fn sfence() {
    // SAFETY: SFENCE is part of the architecture (SSE) and changes neither register nor value.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}

/// Whether the CPU has streaming stores of this width.
pub(super) fn has(width: Width) -> bool {
    match width {
        Width::Bytes8 | Width::Bytes16 => true,
        Width::Bytes32 => std::arch::is_x86_feature_detected!("avx"),
        Width::Bytes64 => std::arch::is_x86_feature_detected!("avx512f"),
    }
}

/// Stores whole lines by streaming stores, in this many passes with an SFENCE after each;
/// `lines(pass)` are the lines and what is stored in them.
///
/// # Panics
/// If the CPU does not have stores of this width.
#[inline]
pub(super) fn stream<'a, I>(width: Width, passes: usize, lines: impl Fn(usize) -> I)
where
    I: Iterator<Item = (&'a Line, &'a [u64; 8])>,
{
    assert!(has(width), "no streaming stores of {} bytes here", width.bytes());
    match width {
        Width::Bytes8 => stream_8(passes, lines),
        Width::Bytes16 => stream_16(passes, lines),
        // SAFETY: the CPU has AVX.
        Width::Bytes32 => unsafe { stream_32(passes, lines) },
        // SAFETY: the CPU has AVX-512F.
        Width::Bytes64 => unsafe { stream_64(passes, lines) },
    }
}

fn stream_8<'a, I>(passes: usize, lines: impl Fn(usize) -> I)
where
    I: Iterator<Item = (&'a Line, &'a [u64; 8])>,
{
    for pass in 0..passes {
        for (to, from) in lines(pass) {
            for (to, from) in to.0.iter().zip(from) {
                // SAFETY: the word may be changed through a shared reference and is aligned; SFENCE
                // follows before anything else accesses it, as no other thread has the line.
                unsafe { _mm_stream_si64(to.as_ptr().cast(), from.cast_signed()) };
            }
        }
        sfence();
    }
}

/// The body of a function whose vectors have this type.
macro_rules! stream_vectors {
    ($vector:ty, $load:ident, $store:ident, $passes:expr, $lines:expr) => {
        for pass in 0..$passes {
            for (to, from) in $lines(pass) {
                let (to, from): (*mut $vector, *const $vector) =
                    (to.0.as_ptr().cast_mut().cast(), from.as_ptr().cast());
                for place in 0..size_of::<Line>() / size_of::<$vector>() {
                    // SAFETY: `place` is within a line of 64 bytes, the size of the source.
                    let from = unsafe { from.add(place) };
                    // SAFETY: within the source, and no alignment is needed.
                    let vector = unsafe { $load(from.cast()) };
                    // SAFETY: `place` is within a line of 64 bytes.
                    let to = unsafe { to.add(place) };
                    // SAFETY: within the line, whose words may be changed through a shared
                    // reference, and aligned as lines are; SFENCE follows before anything else
                    // accesses it, as no other thread has the line.
                    unsafe { $store(to, vector) };
                }
            }
            sfence();
        }
    };
}

fn stream_16<'a, I>(passes: usize, lines: impl Fn(usize) -> I)
where
    I: Iterator<Item = (&'a Line, &'a [u64; 8])>,
{
    stream_vectors!(__m128i, _mm_loadu_si128, _mm_stream_si128, passes, lines);
}

/// # Safety
/// The CPU has AVX.
#[target_feature(enable = "avx")]
unsafe fn stream_32<'a, I>(passes: usize, lines: impl Fn(usize) -> I)
where
    I: Iterator<Item = (&'a Line, &'a [u64; 8])>,
{
    stream_vectors!(__m256i, _mm256_loadu_si256, _mm256_stream_si256, passes, lines);
}

/// # Safety
/// The CPU has AVX-512F.
#[target_feature(enable = "avx512f")]
unsafe fn stream_64<'a, I>(passes: usize, lines: impl Fn(usize) -> I)
where
    I: Iterator<Item = (&'a Line, &'a [u64; 8])>,
{
    stream_vectors!(__m512i, _mm512_loadu_si512, _mm512_stream_si512, passes, lines);
}
