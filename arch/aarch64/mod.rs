//! arm64: 64-bit Arm.
//!
//! | instruction | effect | to the point of | permitted at EL0 by Linux if |
//! |---|---|---|---|
//! | `dc cvac` | cleans (writes back) | coherency | always |
//! | `dc cvap` | cleans | persistence | `HWCAP_DCPOP` (`FEAT_DPB`) |
//! | `dc cvadp` | cleans | deep persistence | `HWCAP2_DCPODP` (`FEAT_DPB2`) |
//! | `dc civac` | cleans and invalidates | coherency | always |
//!
//! An instruction by address is ordered after this CPU's own earlier accesses to the same line
//! without a barrier, and it is complete only after a DSB; a DMB gives no completion. With accesses to
//! other lines it is unordered, so `dmb osh` before the instructions is needed for what this CPU has
//! *observed* from others: always when it invalidates, and on request when it writes back (Linux
//! `arch/arm64/mm/flush.c`, `arch_wb_cache_pmem`).
//!
//! Whether the memory system has a point of persistence cannot be found out: where it has none,
//! `dc cvap` behaves as `dc cvac` (Arm ARM, DC CVAP). A memory's guarantee is the platform's claim.
//!
//! # At EL1
//! | instruction | effect | to the point of |
//! |---|---|---|
//! | `dc ivac` | invalidates, and may lose what is dirty | coherency |
//! | `dc cisw` | cleans and invalidates one line by its set and way | the level of the operand |
//!
//! Both are UNDEFINED at EL0. `dc ivac` needs write permission, and is a promise of nothing but that
//! the line goes: under a hypervisor with stage 2 translation (`HCR_EL2.VM`) or with `HCR_EL2.DC` it
//! executes as `dc civac`, and cores may clean first anyway (Arm ARM, DC IVAC; Cortex-A35 TRM, "Cache
//! maintenance"). Operations by set and way ([`set_way`]) are those of one CPU: they are not broadcast,
//! system caches do not see them, and lines move between the caches of other CPUs meanwhile.
//!
//! Sources: Arm ARM (DDI 0487), "Ordering and completion of data and instruction cache
//! instructions" and the pages of the instructions; Linux `arch/arm64/mm/cache.S` (DSB SY behind
//! each loop), `arch/arm64/kernel/cpufeature.c`, `arch/arm64/include/uapi/asm/hwcap.h`.

#[cfg(all(target_arch = "aarch64", not(any(target_os = "none", loom, miri))))]
#[expect(unsafe_code, reason = "the instructions are written in assembly")]
pub mod blocks;
#[cfg(all(target_arch = "aarch64", not(any(loom, miri))))]
#[expect(unsafe_code, reason = "the instructions are written in assembly")]
pub mod ops;
#[cfg(all(feature = "privileged", target_arch = "aarch64", not(any(loom, miri))))]
#[expect(unsafe_code, reason = "the instructions are written in assembly")]
pub mod privileged;
#[cfg(all(
    target_arch = "aarch64",
    any(
        target_os = "linux",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        feature = "privileged"
    ),
    not(any(loom, miri))
))]
#[expect(unsafe_code, reason = "registers are read in assembly")]
pub mod registers;
#[cfg(any(feature = "privileged", test))]
pub mod set_way;

use super::{
    Architecture, DataCache, Discard, Effect, Fence, Fences, Instruction, Missing, Point,
    Unsupported, WholeCacheOperation,
};

/// The names that users may give.
#[cfg(all(target_arch = "aarch64", not(any(loom, miri))))]
pub mod instruction {
    pub use super::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP};

    /// Every instruction known for this architecture, the preferred write-back first.
    pub const ALL: &[super::Instruction] = super::ARCHITECTURE.instructions;
}

/// Completes all earlier maintenance instructions of this CPU, for every observer.
pub const DSB_SY: Fence = Fence(2);
/// Orders what was observed before the maintenance instructions that follow; completes nothing.
pub const DMB_OSH: Fence = Fence(1);

/// The instruction is ordered after this CPU's own accesses to the line.
const DSB_AFTER: Fences = Fences { before: Fence::NONE, after: DSB_SY };
/// An invalidation takes up what an observer wrote, and the load that told of it is of another line:
/// without a barrier the instruction may be executed before it.
const DMB_BEFORE_DSB_AFTER: Fences = Fences { before: DMB_OSH, after: DSB_SY };

/// Cleans the line to the point of coherency.
pub const DC_CVAC: Instruction = Instruction {
    name: "dc cvac",
    code: 1 << 0,
    effect: Effect::Writeback,
    point: Point::Coherency,
    writeback: DSB_AFTER,
    invalidate: DMB_BEFORE_DSB_AFTER,
    requires: "ARMv8.0",
    source: "Arm ARM (DDI 0487), DC CVAC",
};

/// Cleans the line to the point of persistence.
pub const DC_CVAP: Instruction = Instruction {
    name: "dc cvap",
    code: 1 << 1,
    effect: Effect::Writeback,
    point: Point::Persistence,
    writeback: DSB_AFTER,
    invalidate: DMB_BEFORE_DSB_AFTER,
    requires: "FEAT_DPB",
    source: "Arm ARM (DDI 0487), DC CVAP",
};

/// Cleans the line to the point of deep persistence.
pub const DC_CVADP: Instruction = Instruction {
    name: "dc cvadp",
    code: 1 << 2,
    effect: Effect::Writeback,
    point: Point::DeepPersistence,
    writeback: DSB_AFTER,
    invalidate: DMB_BEFORE_DSB_AFTER,
    requires: "FEAT_DPB2",
    source: "Arm ARM (DDI 0487), DC CVADP",
};

/// Cleans and invalidates the line to the point of coherency.
pub const DC_CIVAC: Instruction = Instruction {
    name: "dc civac",
    code: 1 << 3,
    effect: Effect::WritebackInvalidate,
    point: Point::Coherency,
    writeback: DSB_AFTER,
    invalidate: DMB_BEFORE_DSB_AFTER,
    requires: "ARMv8.0",
    source: "Arm ARM (DDI 0487), DC CIVAC",
};

/// Invalidates the line to the point of coherency, at EL1 and above.
pub const DC_IVAC: Discard = Discard {
    name: "dc ivac",
    fences: DMB_BEFORE_DSB_AFTER,
    requires: "EL1",
    source: "Arm ARM (DDI 0487), DC IVAC; Linux arch/arm64/mm/cache.S, dcache_inval_poc",
};

/// Why no instruction that only cleans is executed on Apple's cores.
pub const CLEAN_DOES_NOTHING: Unsupported = Unsupported::new(
    Missing::Erratum,
    "on Apple's cores DC CVAC does nothing, by the word of Apple's kernel (xnu osfmk/arm64/caches_asm.s), \
     which cleans by clean-and-invalidate; nobody says that DC CVAP and DC CVADP do more",
    "nothing to do to reach coherency: dc civac is used instead",
);

/// Why `dc cvac` is not executed on a Cortex-A53 before r0p3.
pub const CLEAN_IS_BROKEN: Unsupported = Unsupported::new(
    Missing::Erratum,
    "Cortex-A53 before r0p3: errata 826319, 827319 and 824069, before r0p2 also 819472, ask for \
     clean-and-invalidate where a line is cleaned",
    "nothing to do: dc civac is used instead",
);

/// Why `dc cvac` is not executed where it is not known which CPU it is, and no kernel replaces it.
pub const CLEAN_IS_IN_DOUBT: Unsupported = Unsupported::new(
    Missing::Erratum,
    "the system does not tell which CPU it is, and a Cortex-A53 before r0p3 must not clean a line \
     without invalidating it",
    "nothing to do: dc civac is used instead",
);

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    name: "aarch64",
    // The nearest point first: the first instruction that reaches the point is the right one.
    instructions: &[DC_CVAC, DC_CVAP, DC_CVADP, DC_CIVAC],
    fences: &["none", "dmb osh", "dsb sy"],
    observed: DMB_OSH,
    unreachable: [
        Unsupported::new(
            Missing::Permission,
            "the operating system does not let user mode maintain caches",
            "use an operating system that sets SCTLR_EL1.UCI, as Linux does",
        ),
        Unsupported::new(
            Missing::Point,
            "no DC CVAP (FEAT_DPB) that can be used is shown here: nothing cleans to the point of persistence",
            "persist through the kernel (msync), or accept the point of coherency by name where the \
             platform says that it is persistent",
        ),
        Unsupported::new(
            Missing::Point,
            "no DC CVADP (FEAT_DPB2) that can be used is shown here: nothing cleans to the point of deep persistence",
            "let the kernel do it: fsync or msync on a DAX file, deep_flush on a device",
        ),
    ],
    data_cache: DataCache::never(
        "Linux arch/arm64/include/asm/cache.h: the data side behaves as PIPT",
    ),
    discard: Ok(DC_IVAC),
    whole_cache: Some(WholeCacheOperation {
        writeback_invalidate: "dc cisw",
        writeback: None,
        reaches_every_cache: false,
        source: "Arm ARM (DDI 0487), DC CISW",
    }),
    // Arm ARM (DDI 0487), DC CISW: other CPUs and system caches do not see it.
    no_whole_cache: Unsupported::new(
        Missing::Operation,
        "on arm64 only set/way instructions do it: privileged, and other CPUs do not see them",
        "maintain ranges instead",
    ),
};
