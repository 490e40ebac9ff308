//! The operations of kernels and hypervisors.

use super::Cache;
use crate::arch::native::{ARCHITECTURE, privileged};
use crate::arch::{Discard, Fences, Unsupported, covers_unit, for_each_line, ops};
use core::ptr;

impl Cache {
    /// Returns the handle for the machine that this kernel or hypervisor runs on, for ring 0 or EL1. It reads ID
    /// registers instead of asking an operating system, and avoids instructions with errata, which an operating system
    /// would hide. Firmware disables maintenance by address on Apple's cores (m1n1 `src/chickens.c`); the kernel there
    /// must have enabled it.
    ///
    /// The handle executes clean-and-invalidate for [`invalidate`](Self::invalidate), like any
    /// other; only [`discard_range`](Self::discard_range) drops dirty lines.
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

    /// Returns the instruction that [`discard_range`](Self::discard_range) executes.
    ///
    /// # Errors
    /// If the architecture has none: x86 and PowerPC always write dirty lines back.
    pub const fn discard_instruction(self) -> Result<Discard, Unsupported> {
        ARCHITECTURE.discard
    }

    /// Drops the lines of `len` bytes from `start` without writing them back: DC IVAC on arm64, `cbo.inval` on RISC-V.
    /// Use it for memory that a device has filled, where writing a dirty line back would destroy the data.
    ///
    /// # Ordering
    /// As [`invalidate`](Self::invalidate): loads that follow the call return data no older than its start.
    ///
    /// **A dirty line is not necessarily lost.** It may have been written back at any time before. Many cores clean
    /// before they invalidate (Cortex-A35 TRM). In a virtual machine DC IVAC executes as DC CIVAC (`HCR_EL2.VM`; Arm
    /// ARM, DC IVAC), and `cbo.inval` as `cbo.flush` where `envcfg.CBIE` is 01. As with `invalidate`, have no dirty
    /// line in the range while the device writes.
    ///
    /// At the ends, lines are written back and invalidated if their [write-back granule](Self::granule) holds other
    /// bytes too: bytes outside the range are never lost. Linux does the same with lines (`dcache_inval_poc` in
    /// `arch/arm64/mm/cache.S`).
    ///
    /// # Cost
    /// As [`invalidate`](Self::invalidate).
    ///
    /// # Errors
    /// That of [`discard_instruction`](Self::discard_instruction); nothing is executed then.
    ///
    /// # Safety
    /// 1. The instruction may be executed: at EL1 or higher; in M-mode, or where `menvcfg.CBIE` (in a
    ///    virtual machine `henvcfg.CBIE` too) is not 0.
    /// 2. The range is mapped and may be *written*, and does not wrap round the end of the address
    ///    space.
    /// 3. No reference to any byte of the range exists, except to [`Plain`](super::Plain) values or to cells that
    ///    others may change. No one needs the bytes stored there: after the call each byte can have any value that it
    ///    had earlier.
    #[doc(alias("dc ivac", "cbo.inval", "dcache_inval_poc", "inv", "purge"))]
    pub unsafe fn discard_range(self, start: *mut u8, len: usize) -> Result<(), Unsupported> {
        self.discard_instruction()?;
        if len == 0 {
            return Ok(());
        }
        ops::fence(ARCHITECTURE.invalidate.before);
        for_each_line(start, len, self.within(), |line| {
            if covers_unit(start, len, self.largest_unit(), line) {
                // SAFETY: (1) permits the instruction; the line is the range's alone, and (2) and (3) make its loss
                // harmless.
                unsafe { privileged::discard(line) };
            } else {
                let (code, line) = (self.invalidate_code(), ptr::with_exposed_provenance(line));
                // SAFETY: (1) a choice has only instructions that its maker found present or vouched for; (2) the line
                // holds a byte of the range.
                unsafe { ops::maintain(code, line, 1, 0, |_| Fences::NONE) };
            }
        });
        ops::fence(ARCHITECTURE.invalidate.after);
        Ok(())
    }
}
