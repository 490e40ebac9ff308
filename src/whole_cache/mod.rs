//! Operations on whole caches, for kernels, hypervisors and firmware (feature `privileged`).
//!
//! They serve **memory with content that changed behind the caches** (a secure erase, a device that was unlocked or
//! handed on): [`WholeCache`] drops everything at once, on every CPU. A CPU that goes offline empties its own caches by
//! a loop in assembly without a stack, which no library can offer (TF-A `lib/psci/aarch64/psci_helpers.S`).
//!
//! ```
//! use cachemaint::report::RefusedBy;
//! use cachemaint::whole_cache::WholeCache;
//! match WholeCache::ask() {
//!     Ok(caches) => println!("{} on every CPU", caches.writeback_invalidate_instruction()),
//!     Err(refused) if refused.by == RefusedBy::UserMode => println!("ask in the kernel: {refused}"),
//!     Err(refused) => println!("line by line: {refused}"),
//! }
//! ```
//!
//! # Availability
//! Few machines permit it: only x86 without a hypervisor, as in Linux (`cpu_cache_has_invalidate_memregion`).
//! [`WholeCache::ask`] is safe and may be called anywhere. It returns the value that the operations need, or [the
//! reason why there are none](crate::report::RefusedBy):
//!
//! | refused by | reason |
//! |---|---|
//! | architecture | arm64's operations by set and way reach one CPU; RISC-V, PowerPC, s390x and others have none |
//! | user mode | WBINVD raises #GP; detected from CS, never assumed. A kernel that Xen paravirtualises is in user mode too |
//! | confidential guest | TDX: WBINVD raises #VE, which ends a Linux kernel; SEV: a request that the host may ignore |
//! | hypervisor | KVM does nothing unless it has assigned a device that does not snoop; `cachemaint_inspect::guest` has the behaviour of each, with its source |
//!
//! # Lines instead
//! [`Cache::writeback_invalidate_range`](crate::Cache::writeback_invalidate_range) does the same for a mapped range,
//! also in guests and on every architecture, within [the limits of a handle](crate::Cache#limits). It costs one
//! instruction a line. 1 TiB is 17 179 869 184 lines of 64 bytes: 17.2 seconds for each nanosecond a line, divided
//! among the CPUs that share the work; the guide's chapter *Figures* has measured times. A system cache beyond arm64's
//! point of coherency needs the platform's own engine (Linux `drivers/cache`).
//!
//! # Guarantees
//! Each CPU executes the instruction on its own, at its own time. No manual says that a line dropped by one CPU cannot
//! come back from another that has not executed it yet. The guarantees therefore hold only for memory that **no one
//! accesses meanwhile**. Memory to be invalidated must not even be mapped cacheable, since CPUs fetch by speculation.
//! When the calls on all CPUs have returned, for such memory:
//! - no cache of a CPU holds a line of it;
//! - dirty lines have been written back **over the bytes in memory**: to discard them, have no dirty line before the
//!   content changes. Linux promises no more ("may or may not write back dirty contents").
//!
//! An external cache (behind the CPU's own, as with the 486) gets a signal, but is not waited for (Intel SDM vol. 2D,
//! WBINVD). The time grows with the size of the caches, and interrupts are delayed (the same page). All other work on
//! the machine loses its cached lines too.
//!
//! No function here executes INVD or arm64's DC ISW, which drop the dirty lines of all programs, including this
//! function's own stack: compiled code cannot survive that.

use crate::arch::native::{self, privileged};
use crate::arch::{Architecture, WholeCacheOperation};
use crate::cpu::{self, Cpu};
use crate::virtualization::Refused;
use crate::virtualization::can_invalidate_memory;

/// A proof that an operation on all caches of this machine can invalidate memory: it was [asked](Self::ask) for in ring
/// 0 of a machine without a hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeCache {
    operation: WholeCacheOperation,
}

impl WholeCache {
    /// Returns the operations if this machine has them. Reads CPUID and CS on x86; elsewhere the answer is the
    /// architecture's.
    ///
    /// # Errors
    /// The reason why there are none. In user mode this always fails.
    pub fn ask() -> Result<Self, Refused> {
        Self::of(&native::ARCHITECTURE, &cpu::here())
    }

    fn of(architecture: &Architecture, cpu: &Cpu) -> Result<Self, Refused> {
        can_invalidate_memory(architecture, cpu).map(|operation| Self { operation })
    }

    /// Returns the mnemonic of the instruction that [`writeback_invalidate`](Self::writeback_invalidate) executes on
    /// each CPU.
    #[must_use]
    pub const fn writeback_invalidate_instruction(self) -> &'static str {
        self.operation.writeback_invalidate
    }

    /// Writes back and drops every line in the caches of the executing CPU, and those that it shares with others.
    ///
    /// The caller makes every CPU call it and waits: a kernel by interrupting the others (Linux `on_each_cpu(…, wait =
    /// 1)`). The function never panics, blocks or allocates, and may be called in an interrupt handler.
    ///
    /// ```no_run
    /// use cachemaint::whole_cache::WholeCache;
    /// # unsafe fn on_each_cpu_and_wait(run: extern "C" fn(*mut core::ffi::c_void), with: *mut core::ffi::c_void) {}
    ///
    /// /// In the form that the kernel's interprocessor call takes: a function and a word.
    /// extern "C" fn run(caches: *mut core::ffi::c_void) {
    ///     // SAFETY: it is the address of the value below, which outlives the calls.
    ///     let caches = unsafe { *caches.cast::<WholeCache>() };
    ///     // SAFETY: (1) the region was unmapped; (2) an interrupt handler in ring 0 is not moved.
    ///     unsafe { caches.writeback_invalidate() };
    /// }
    ///
    /// # fn main() -> Result<(), cachemaint::report::Refused> {
    /// let mut caches = WholeCache::ask()?;
    /// // CPUs can neither come nor go until it has returned.
    /// // SAFETY: it calls the function on each CPU, and waits.
    /// unsafe { on_each_cpu_and_wait(run, (&raw mut caches).cast()) };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Ordering
    /// See [guarantees](self#guarantees). They hold when each CPU that has been running since its caches were last
    /// emptied has returned from its call. CPUs that are offline were emptied when they went offline (Linux does so).
    ///
    /// # Cost
    /// Grows with the size of the caches; the dropped lines must be fetched again. Delays interrupts.
    ///
    /// # Safety
    /// 1. The caller relies on it only for memory that no CPU or device accesses meanwhile, and that no CPU has mapped
    ///    cacheable.
    /// 2. This CPU is in ring 0, and the call is not moved to another CPU before it has returned: newer AMD CPUs can be
    ///    interrupted in the middle of it (CPUID.80000008H:EBX\[13\]).
    #[doc(alias("wbinvd_on_all_cpus", "cpu_cache_invalidate_memregion", "flush"))]
    pub unsafe fn writeback_invalidate(self) {
        // SAFETY: the value proves that WBINVD is there and is not taken away; this is ring 0 (2).
        unsafe { privileged::writeback_invalidate_all() };
    }
}

#[cfg(test)]
mod tests;
