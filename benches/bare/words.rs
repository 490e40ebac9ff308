//! Persisting words one by one, in loops without additions by a compiler.

#![expect(unsafe_code, reason = "loops in assembly")]

use cachemaint::Cache;
use cachemaint::cache::Choice;
use core::arch::asm;
use core::sync::atomic::AtomicU64;

/// Stores `first`, `first + 1` and so on in the words, in order, and writes each back before the next.
pub type Loop = fn(words: &[&AtomicU64], first: u64);

/// Returns the loop for the instruction and the fences that `cache` uses to write back, or `None` if there is no such
/// loop here.
#[must_use]
pub fn persisting(cache: Cache) -> Option<Loop> {
    let Choice { instruction, before, after, .. } = cache.writeback_choice();
    match (before, instruction.name, after) {
        #[cfg(target_arch = "x86_64")]
        (None, "clwb", "sfence") => Some(clwb_sfence),
        #[cfg(target_arch = "x86_64")]
        (None, "clflushopt", "sfence") => Some(clflushopt_sfence),
        #[cfg(target_arch = "x86_64")]
        (None, "clflush", "sfence") => Some(clflush_sfence),
        #[cfg(target_arch = "x86_64")]
        (Some("mfence"), "clflush", "mfence") => Some(mfence_clflush_mfence),
        #[cfg(target_arch = "aarch64")]
        (None, "dc cvac", "dsb sy") => Some(dc_cvac_dsb),
        #[cfg(target_arch = "aarch64")]
        (None, "dc cvap", "dsb sy") => Some(dc_cvap_dsb),
        _ => None,
    }
}

macro_rules! loops {
    ($($name:ident: $before:literal, $writeback:literal, $after:literal;)*) => {$(
        fn $name(words: &[&AtomicU64], first: u64) {
            let words = words.as_ptr_range();
            if words.is_empty() {
                return;
            }
            // SAFETY: the loop reads the pointers of a slice that is not empty. It stores to words that may be changed
            // through a shared reference and that no other thread has. The handle that the loop was chosen for has the
            // instruction.
            unsafe { persist_each!($before, $writeback, $after, words, first) };
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
macro_rules! persist_each {
    ($before:literal, $writeback:literal, $after:literal, $words:ident, $first:ident) => {
        asm!(
            "2:",
            "mov {word}, [{next}]",
            "mov [{word}], {value}",
            $before,
            concat!($writeback, " [{word}]"),
            $after,
            "inc {value}",
            "add {next}, 8",
            "cmp {next}, {end}",
            "jne 2b",
            word = out(reg) _,
            next = inout(reg) $words.start => _,
            end = in(reg) $words.end,
            value = inout(reg) $first => _,
            options(nostack),
        )
    };
}

#[cfg(target_arch = "x86_64")]
loops! {
    clwb_sfence: "", "clwb", "sfence";
    clflushopt_sfence: "", "clflushopt", "sfence";
    clflush_sfence: "", "clflush", "sfence";
    mfence_clflush_mfence: "mfence", "clflush", "mfence";
}

#[cfg(target_arch = "aarch64")]
macro_rules! persist_each {
    ($before:literal, $writeback:literal, $after:literal, $words:ident, $first:ident) => {
        asm!(
            "2:",
            "ldr {word}, [{next}], #8",
            "str {value}, [{word}]",
            $before,
            concat!($writeback, ", {word}"),
            $after,
            "add {value}, {value}, #1",
            "cmp {next}, {end}",
            "b.ne 2b",
            word = out(reg) _,
            next = inout(reg) $words.start => _,
            end = in(reg) $words.end,
            value = inout(reg) $first => _,
            options(nostack),
        )
    };
}

#[cfg(target_arch = "aarch64")]
loops! {
    dc_cvac_dsb: "", "dc cvac", "dsb sy";
    // DC CVAP by its encoding, which every assembler accepts.
    dc_cvap_dsb: "", "sys #3, c7, c12, #1", "dsb sy";
}
