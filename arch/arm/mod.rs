//! 32-bit Arm: user mode can do nothing here that reaches memory.
//!
//! | operation | who may | how far |
//! |---|---|---|
//! | DCCMVAC, DCCIMVAC, DCIMVAC (CP15 c7) | PL1 | coherency; outer caches (PL310) need their own controller besides |
//! | `__ARM_NR_cacheflush` | user mode, through Linux | unification: instructions are fetched as they were stored, and no more |
//!
//! The system call cleans to the point of unification, for code that was just written: a device or
//! persistent memory is beyond that point, so it is no write-back in the sense of this crate, and
//! taking it for one would be a success that nobody got.
//!
//! Sources: Arm ARM, Armv7-A (DDI 0406), B4.2.1; Linux `arch/arm/kernel/traps.c` (`arm_syscall`,
//! `do_cache_op`), `arch/arm/mm/cache-v7.S`, `arch/arm/include/asm/cachetype.h`.

use super::{Architecture, Missing, Unsupported, refused};

/// The architecture as data.
pub const ARCHITECTURE: Architecture = refused::architecture(
    "arm",
    Unsupported::new(
        Missing::Operation,
        "32-bit arm has no cache maintenance to the point of coherency in user mode (CP15 is for PL1, \
         and the kernel's cacheflush stops at the point of unification)",
        "let the kernel do it: msync or fsync for files, its DMA interface for devices",
    ),
    Unsupported::new(
        Missing::Operation,
        "on 32-bit arm only set/way operations do it: privileged, and other CPUs do not see them",
        "let the kernel maintain ranges instead",
    ),
    // Armv7 data caches behave as PIPT, older ones may alias, and user mode cannot read which it is.
    None,
);
