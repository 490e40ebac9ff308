//! PowerPC, 64-bit and 32-bit.
//!
//! | instruction | effect | to the point of | available on |
//! |---|---|---|---|
//! | `dcbst` | writes back | coherency | every CPU; not used with ISA 2.07 and 3.0 |
//! | `dcbf` | writes back and drops | coherency; persistence with ISA 2.07 and 3.0 | every CPU |
//! | `dcbstps` | writes back | persistence | ISA 3.1 |
//! | `dcbfps` | writes back and drops | persistence | ISA 3.1 |
//!
//! All of them work in user mode, on all CPUs of the system, and need only read permission. `dcbfl` and `dcbflp` reach
//! only the caches of the executing CPU, and are never used.
//!
//! `sync` completes `dcbst` and `dcbf`. `phwsync` also completes `dcbstps` and `dcbfps`.
//!
//! The encodings of `dcbstps`, `dcbfps` and `phwsync` are variants of `dcbf` and `sync`. CPUs with ISA 2.07 and 3.0
//! (POWER8, POWER9) ignore the difference and execute plain `dcbf` and `sync` (the message of the Linux commit that
//! introduced them). Linux and libpmem rely on that, so on those CPUs `dcbf` and `sync` reach the persistence domain.
//! This crate executes them there by their plain encodings, because a tool that knows only the older ISA rejects the
//! variants (Valgrind: PMDK issue 6079; measured: QEMU 10.0 and 11.1 raise an illegal-instruction exception on every
//! model, even POWER10). No source says the same of a newer CPU in POWER8 or POWER9 mode.
//!
//! A POWER9 does not mark a block clean when it executes `dcbst` (its user's manual, p. 66, according to the report
//! that made libpmem use `dcbf`), and Linux never used `dcbst` for persistent memory there. On CPUs with ISA 2.07 and
//! 3.0 (POWER8, POWER9), `dcbf` is therefore executed instead.
//!
//! Sources: Power ISA 3.1 Book II, "Cache Management Instructions" and "Memory Barrier Instructions"; PMDK pull
//! request 4844. Linux `arch/powerpc/lib/pmem.c` and `asm/cacheflush.h` (`sync` after the loop, and before it too where it
//! drops), `asm/barrier.h` (`pmem_wmb` is `phwsync`), `asm/ppc-opcode.h` (encodings).

pub mod instruction;
native_only! { powerpc {
    #[expect(unsafe_code, reason = "the instructions are written in assembly")]
    pub mod ops;
} }

use super::{Architecture, DataCache, Fence, Fences, Missing, Sigbus, Unsupported, advice};

pub use instruction::*;

/// Completes `dcbst` and `dcbf` of this CPU, and orders every access.
pub const SYNC: Fence = Fence(1);
/// Does the same as [`SYNC`], and also completes `dcbstps` and `dcbfps`.
pub const PHWSYNC: Fence = Fence(2);

const SYNC_AFTER: Fences = Fences { before: Fence::NONE, after: SYNC };
/// Linux `flush_dcache_range`: `sync` before as well, so that observed stores come first.
const SYNC_AROUND: Fences = Fences { before: SYNC, after: SYNC };
const PHWSYNC_AFTER: Fences = Fences { before: Fence::NONE, after: PHWSYNC };

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    name: if cfg!(target_arch = "powerpc") { "powerpc" } else { "powerpc64" },
    instructions: ALL,
    fences: &["none", "sync", "phwsync"],
    observed: SYNC,
    invalidate: SYNC_AROUND,
    unreachable: [
        Unsupported::new(
            Missing::Permission,
            "no operating system that this crate knows reports the block size",
            "describe the CPU with Cache::from_facts if its block size is known",
        ),
        Unsupported::new(
            Missing::Point,
            "this CPU is older than ISA 2.07, or runs in the compatibility mode of a POWER8 or POWER9: no instruction \
             is known to write back to persistent storage",
            advice::ACCEPT_COHERENCY,
        ),
        Unsupported::new(
            Missing::Point,
            "no PowerPC instruction reaches the medium's own buffers",
            advice::DEEP_PERSIST,
        ),
    ],
    data_cache: DataCache::never(
        "Linux arch/powerpc/Kconfig: ARCH_HAS_CPU_CACHE_ALIASING is not selected",
    ),
    whole_cache: None,
    no_whole_cache: Unsupported::new(
        Missing::Operation,
        "PowerPC has no instruction for a whole cache",
        "maintain ranges instead",
    ),
    sigbus: if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
        Sigbus::Handled
    } else {
        Sigbus::Untried
    },
};
