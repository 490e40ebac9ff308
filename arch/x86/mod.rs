//! x86 and `x86_64`.
//!
//! | instruction | effect | CPUID | ordering and completion |
//! |---|---|---|---|
//! | `clwb` | writes back, may keep the line | 7.0:EBX\[24\] | by SFENCE, MFENCE or a locked instruction |
//! | `clflushopt` | writes back and drops | 7.0:EBX\[23\] | the same |
//! | `clflush` | writes back and drops | 1:EDX\[19\] | Intel: ordered with stores and fences; others: by MFENCE only |
//!
//! All of them work in user mode, on every level of the coherence domain, and need only read permission. A hypervisor
//! can hide them in CPUID but cannot trap them. An instruction that CPUID does not show is not executed, since `clwb`
//! shares its opcode with XSAVEOPT, which writes memory.
//!
//! All of them write back to memory, and the persistence domain begins there or nearer. The point of persistence
//! therefore costs no more than the point of coherency. No user-mode instruction reaches the buffers of the medium.
//!
//! Errata: none is known that forbids one of them. On AMD CPUs without CLFLUSHOPT only MFENCE orders CLFLUSH (Xen
//! counts that as a bug, XSA-402), and the data here say so. Erratum AAI65 of three Intel Xeons (Linux
//! `X86_BUG_CLFLUSH_MONITOR`) is about MONITOR; CLFLUSH is its workaround.
//!
//! # In ring 0
//! | instruction | effect | CPUID | reach |
//! |---|---|---|---|
//! | `wbinvd` | writes back and drops all lines | every CPU since the 486 | the caches of the CPU that executes it and those it shares |
//! | `wbnoinvd` | writes back all lines, may keep them | `80000008H`:EBX\[9\] | the same |
//!
//! WBINVD serialises, so it comes after this CPU's own stores and before its later loads (Intel SDM vol. 2D; AMD APM
//! vol. 3). Intel says the same of WBNOINVD. No statement by AMD was found, so it has an MFENCE before and after. Newer
//! AMD CPUs can be interrupted in either (CPUID.`80000008H`:EBX\[13\]). `invd`, which drops all lines unwritten, is not
//! offered: see `src/whole_cache`. No x86 instruction drops one line unwritten.
//!
//! Sources: Intel SDM vol. 2A (CLFLUSH, CLFLUSHOPT, CLWB) and vol. 3A ("Memory Ordering"); AMD APM
//! vol. 3 (24594); Linux `arch/x86/mm/pat/set_memory.c`, `arch/x86/lib/usercopy_64.c`; FreeBSD
//! `sys/amd64/amd64/pmap.c`, which makes the same difference between vendors.

#[cfg(any(target_arch = "x86_64", test))]
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the instructions are written in assembly")
)]
pub mod blocks;
pub mod instruction;
native_only! { x86 {
    #[expect(unsafe_code, reason = "the instructions are written in assembly")]
    pub mod ops;
    #[expect(unsafe_code, reason = "registers are read in assembly")]
    pub mod registers;
} }

use super::{
    Architecture, DataCache, Fence, Fences, Missing, Sigbus, Unsupported, WholeCacheOperation,
    advice,
};

pub use instruction::*;

/// Orders stores, and completes `clwb` and `clflushopt`; not loads.
pub const SFENCE: Fence = Fence(1);
/// Orders loads and stores, and completes every flush on every vendor's CPUs.
pub const MFENCE: Fence = Fence(2);

/// Loads need not wait for persistence, so SFENCE suffices (Linux `pmem_wmb()`).
const SFENCE_AFTER: Fences = Fences { before: Fence::NONE, after: SFENCE };
/// The only fence that orders CLFLUSH on AMD (APM vol. 3, CLFLUSH), and the only one that keeps a later load from using
/// the old line.
const MFENCE_AROUND: Fences = Fences { before: MFENCE, after: MFENCE };

const NONE_PRESENT: Unsupported = Unsupported::new(
    Missing::Instruction,
    "this CPU reports no CLFLUSH in CPUID.1:EDX[19]",
    "only privileged code can write back here, the whole cache at once (WBINVD)",
);

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    name: if cfg!(target_arch = "x86") { "x86" } else { "x86_64" },
    instructions: ALL,
    fences: &["none", "sfence", "mfence"],
    // No manual orders CLWB or CLFLUSHOPT with older loads (Intel SDM vol. 2A lists older writes to the
    // line, fences and locked instructions), so the load that observed a store could come after.
    observed: MFENCE,
    invalidate: MFENCE_AROUND,
    unreachable: [
        NONE_PRESENT,
        NONE_PRESENT,
        Unsupported::new(
            Missing::Point,
            "no x86 instruction reaches the medium's own buffers",
            advice::DEEP_PERSIST,
        ),
    ],
    data_cache: DataCache::never(
        "Linux arch/x86/Kconfig: ARCH_HAS_CPU_CACHE_ALIASING is not selected",
    ),
    whole_cache: Some(WholeCacheOperation {
        writeback_invalidate: "wbinvd",
        source: "Intel SDM vol. 2D, WBINVD; AMD APM vol. 3, the same; Linux \
                 arch/x86/lib/cache-smp.c, wbinvd_on_all_cpus",
    }),
    // Intel SDM vol. 2D, WBINVD.
    no_whole_cache: Unsupported::new(
        Missing::Operation,
        "WBINVD is privileged (#GP in user mode)",
        advice::WHOLE_CACHE_IN_A_DRIVER,
    ),
    sigbus: Sigbus::Handled,
};
