//! The operations of kernels and hypervisors.

use super::Cache;
use crate::arch::Unsupported;

impl Cache {
    /// Returns the handle for the machine that this kernel or hypervisor runs on, for ring 0 or EL1. It reads ID
    /// registers instead of asking an operating system, and avoids instructions with errata, which an operating system
    /// would hide. Firmware disables maintenance by address on Apple's cores (m1n1 `src/chickens.c`); the kernel there
    /// must have enabled it.
    ///
    /// The handle executes clean-and-invalidate for [`invalidate`](Self::invalidate), like any other. Nothing here drops
    /// dirty lines: with no dirty line in the range while the device writes, as `invalidate` demands, none is left.
    ///
    /// # MMU and caches off
    /// On arm64, loads and stores bypass the caches while the MMU is off or `SCTLR_ELx.C` is 0 (Arm ARM, "The effects
    /// of disabling a stage of address translation"; `SCTLR_EL1`, C). A hypervisor can make them cacheable
    /// nevertheless. To a boot stage in this state the caches are invisible, as they are to a device.
    /// [`coherence`](crate::coherence) has the hand-over:
    /// - A stage with caches on gives memory away by `release`, or by `release_to_writer` if the other stage writes.
    /// - Lines that were cached before, or that another CPU has fetched meanwhile, hide the stores of a stage with
    ///   caches off. The stage that turns the caches on calls `acquire` before it reads.
    /// - With the MMU off an instruction is not ordered after a store to its line. Call
    ///   [`order_observed`](Self::order_observed) before a write-back. An invalidation includes this barrier, and a
    ///   batch has one before its first invalidation. Linux has it too (`preserve_boot_args` in
    ///   `arch/arm64/kernel/head.S`).
    ///
    /// On RISC-V the attributes of a physical address decide whether memory is cacheable, in M-mode too. This crate has
    /// no source for x86 with `CR0.CD` set, or for PowerPC with translation off, and promises nothing there.
    ///
    /// # Errors
    /// If the architecture has no back end, the CPU has no instruction, or no register describes it (RISC-V and
    /// PowerPC: describe them by [`from_facts`](Self::from_facts)).
    ///
    /// # Safety
    /// 1. On arm64 this CPU, and every one on which a report is made
    ///    [for the handle](crate::report::CpuReport::for_cache), is at EL1 or higher, where
    ///    `ID_AA64ISAR1_EL1`, `MIDR_EL1` and `CTR_EL0` can be read.
    /// 2. All CPUs that the handle is used on have the instructions, the line size and the write-back
    ///    granule of this one, and no erratum that it lacks. On a machine with a Cortex-A53, a Cortex-A35 r0p0 or a
    ///    Cortex-A57 r0p0 beside other cores, make the handle on that core.
    /// 3. As for [`from_facts`](Self::from_facts) (3). A fence completes only the operations of its own CPU (Linux
    ///    `arch/arm64/kernel/process.c`, `__switch_to`).
    pub unsafe fn privileged() -> Result<Self, Unsupported> {
        // SAFETY: (1) to (3) are the caller's duties.
        unsafe { Self::builder().build_privileged() }
    }
}
