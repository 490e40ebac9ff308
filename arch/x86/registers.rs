//! Registers of x86.

use core::arch::asm;
#[cfg(target_arch = "x86")]
use core::arch::x86::{__cpuid_count, CpuidResult};
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// Returns the words of a leaf of CPUID.
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    // In newer versions of Rust this is a safe function. A pointer to it has this type in all versions.
    let read: unsafe fn(u32, u32) -> CpuidResult = __cpuid_count;
    // SAFETY: every CPU of Rust's targets for x86 executes it in every ring, and it has no effect.
    unsafe { read(leaf, subleaf) }
}

/// Returns the selector in CS, which code of every ring may read.
pub fn code_segment() -> u16 {
    let selector;
    // SAFETY: reading a selector needs no privilege and has no effect.
    unsafe { asm!("mov {:x}, cs", out(reg) selector, options(nomem, nostack, preserves_flags)) };
    selector
}

/// Returns XCR0: the registers that the operating system saves.
///
/// # Safety
/// 1. The operating system has enabled XGETBV (CPUID.1:ECX\[27\]).
#[cfg(target_arch = "x86_64")]
pub unsafe fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: (1) keeps it from raising an exception; XCR0 is there in every ring, and reading it has no
    // effect.
    unsafe {
        asm!(
            "xgetbv",
            in("ecx") 0,
            out("eax") low,
            out("edx") high,
            options(nomem, nostack, preserves_flags),
        );
    };
    u64::from(high) << 32 | u64::from(low)
}
