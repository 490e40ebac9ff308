//! The CPU's timestamp counter.

/// Returns the counter.
///
/// RDTSC waits for nothing before it (Intel SDM vol. 2B, RDTSC): a timestamp is accurate to the few dozen instructions
/// that a CPU has in flight.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[must_use]
pub fn now() -> u64 {
    // SAFETY: reading the counter has no effect. Where user mode may not read it, CPUID does not
    // report it as invariant, or the process itself asked the kernel for this (prctl(2),
    // PR_SET_TSC).
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Returns the counter. Like RDTSC, it does not wait for earlier instructions (Arm ARM, `CNTVCT_EL0`).
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub fn now() -> u64 {
    let now;
    // SAFETY: Linux lets user mode read it (`arch_counter_set_user_access`), and reading has no effect.
    unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) now, options(nomem, nostack)) };
    now
}

/// Returns the counter's ticks per second, as firmware has set them (Arm ARM, `CNTFRQ_EL0`).
#[cfg(target_arch = "aarch64")]
pub fn frequency() -> u64 {
    let frequency;
    // SAFETY: as above; user mode may read it wherever it may read the counter.
    unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack)) };
    frequency
}
