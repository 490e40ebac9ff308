//! 32-bit Arm: user mode has no operation that reaches memory.
//!
//! | operation | who may | how far |
//! |---|---|---|
//! | DCCMVAC, DCCIMVAC, DCIMVAC (CP15 c7) | PL1 | coherency; outer caches (PL310) need their own controller besides |
//! | `__ARM_NR_cacheflush` | user mode, through Linux | unification: instructions are fetched as they were stored |
//!
//! The system call cleans to the point of unification, for code that was just written. Devices and persistent memory
//! are beyond that point, so the call is not a write-back in the sense of this crate: using it would report a false
//! success.
//!
//! Two addresses of one page agree in the data cache if they differ by a multiple of 4 pages. Armv6 lets address bits
//! 13 and 12 index the cache, Armv7 does not (Arm ARM, DDI 0406, B3.4). Caches before v6 are also virtually tagged, so
//! only a kernel can make two addresses agree. Linux does so within one process by not caching the pages
//! (`arch/arm/mm/fault-armv.c`).
//!
//! Sources: Arm ARM, Armv7-A (DDI 0406), B4.2.1; Linux `arch/arm/kernel/traps.c` (`arm_syscall`,
//! `do_cache_op`), `arch/arm/mm/cache-v7.S`, `arch/arm/include/asm/cachetype.h`.

use super::data_cache::{Distance, Occurs};
use super::{Architecture, DataCache, Missing, Sigbus, Unsupported, advice, refused};

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    sigbus: Sigbus::Handled,
    ..refused::architecture(
        "arm",
        Unsupported::new(
            Missing::Operation,
            "32-bit arm has no cache maintenance to the point of coherency in user mode (CP15 is for PL1, \
         and the kernel's cacheflush stops at the point of unification)",
            advice::LEAVE_IT_TO_THE_SYSTEM,
        ),
        DataCache {
            occurs: Occurs::ByGeometry(
                "the version of the architecture: data caches of v7 and v8 behave as physically indexed, those \
             of v6 alias if CTR bit 23 is set, those before are virtually tagged",
            ),
            distance: Distance::Pages(4),
            source: "Linux arch/arm/include/asm/{cachetype,shmparam}.h; Arm ARM (DDI 0406), B3.4",
        },
    )
};
