//! arm64: 64-bit Arm.
//!
//! | instruction | effect | to the point of | permitted at EL0 by Linux if |
//! |---|---|---|---|
//! | `dc cvac` | cleans (writes back) | coherency | always |
//! | `dc cvap` | cleans | persistence | `HWCAP_DCPOP` (`FEAT_DPB`) |
//! | `dc cvadp` | cleans | deep persistence | `HWCAP2_DCPODP` (`FEAT_DPB2`) |
//! | `dc civac` | cleans and invalidates | coherency | always |
//!
//! An instruction by address is ordered after this CPU's own earlier accesses to the same line without a barrier. It is
//! complete only after a DSB; a DMB gives no completion. It is not ordered with accesses to other lines, so stores that
//! this CPU has *observed* from others need a `dmb osh` before the instructions: always before an invalidation, on
//! request before a write-back (Linux `arch/arm64/mm/flush.c`, `arch_wb_cache_pmem`).
//!
//! Software cannot tell whether the memory system has a point of persistence: without one, `dc cvap` behaves as `dc
//! cvac` (Arm ARM, DC CVAP). A memory's guarantee is the platform's claim.
//!
//! `dc ivac`, which drops a line and may lose its dirty bytes, is UNDEFINED at EL0 and not used: cores may clean first, in
//! a guest it executes as `dc civac`, and after an invalidation no line is dirty anyway (Arm ARM, DC IVAC; Cortex-A35 TRM,
//! "Cache maintenance"). Operations by set and way (`dc cisw`) are not used: they affect one CPU, are not broadcast and do
//! not reach system caches, and lines move between the caches of other CPUs meanwhile.
//!
//! Cortex-A55 and Cortex-A75 can maintain a line before an older store to it in memory that is write-through, or of
//! mixed inner and outer types (erratum 1162044: Intel Agilex 5 errata, 3.4.1). Ordinary memory is neither; for such
//! memory a kernel executes a barrier first (`Cache::order_observed`).
//!
//! Cortex-A53 must not clean a line without invalidating it (erratum 855873), and neither must Cortex-A35 r0p0 (855472)
//! and Cortex-A57 r0p0 (813420). If a CPU of the machine is, or may be, such a core, `dc civac` is used instead of `dc
//! cvac`. Firmware can avoid these errata with a bit that user mode cannot read (TF-A `lib/cpus/aarch64`). Errata that
//! no choice of instruction avoids are in the guide's chapter *Platforms and limits*.
//!
//! Sources: Arm ARM (DDI 0487), "Ordering and completion of data and instruction cache
//! instructions" and the pages of the instructions; Linux `arch/arm64/mm/cache.S` (DSB SY after
//! each loop), `arch/arm64/kernel/cpufeature.c`, `arch/arm64/include/uapi/asm/hwcap.h`.

pub mod instruction;
native_only! { aarch64 {
    #[cfg(not(target_os = "none"))]
    #[expect(unsafe_code, reason = "the instructions are written in assembly")]
    pub mod blocks;
    #[expect(unsafe_code, reason = "the instructions are written in assembly")]
    pub mod ops;
    #[expect(unsafe_code, reason = "registers are read in assembly")]
    pub mod registers;
} }

use super::{Architecture, DataCache, Fence, Fences, Missing, Sigbus, Unsupported, advice};

pub use instruction::*;

/// Completes all earlier maintenance instructions of this CPU, for every observer.
pub const DSB_SY: Fence = Fence(2);
/// Orders observed stores before the maintenance instructions that follow; completes nothing.
pub const DMB_OSH: Fence = Fence(1);

/// The instruction is ordered after this CPU's own accesses to the line.
const DSB_AFTER: Fences = Fences { before: Fence::NONE, after: DSB_SY };
/// An invalidation makes an observer's stores visible. The load that signalled them is to another line, so without a
/// barrier the instruction may be executed before that load.
const DMB_BEFORE_DSB_AFTER: Fences = Fences { before: DMB_OSH, after: DSB_SY };

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    name: "aarch64",
    instructions: ALL,
    fences: &["none", "dmb osh", "dsb sy"],
    observed: DMB_OSH,
    invalidate: DMB_BEFORE_DSB_AFTER,
    unreachable: [
        Unsupported::new(
            Missing::Permission,
            "the operating system does not let user mode maintain caches",
            "use an operating system that sets SCTLR_EL1.UCI, as Linux does",
        ),
        Unsupported::new(
            Missing::Point,
            "this CPU reports no usable DC CVAP (FEAT_DPB)",
            advice::ACCEPT_COHERENCY,
        ),
        Unsupported::new(
            Missing::Point,
            "this CPU reports no usable DC CVADP (FEAT_DPB2)",
            advice::DEEP_PERSIST,
        ),
    ],
    data_cache: DataCache::never(
        "Linux arch/arm64/include/asm/cache.h: the data side behaves as PIPT",
    ),
    whole_cache: None,
    // Arm ARM (DDI 0487), DC CISW: other CPUs and system caches do not see it.
    no_whole_cache: Unsupported::new(
        Missing::Operation,
        "on arm64 only set/way instructions could do it, but they are privileged and do not reach other CPUs",
        "maintain ranges instead",
    ),
    // `arch/arm64/mm/fault.c`, `do_sea`: an error that firmware does not handle.
    sigbus: Sigbus::HandledWithObjerr,
};
