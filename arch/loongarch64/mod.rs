//! 64-bit `LoongArch`: CACOP is privileged.
//!
//! | operation | who may | what it does |
//! |---|---|---|
//! | `cacop`, `Hit_Writeback_Inv` | PLV0 | writes a line of one cache leaf back and drops it |
//! | `dbar 0` | all | orders accesses; completes no write-back |
//!
//! Devices are coherent with the caches, so DMA needs no maintenance. Persistent memory does, but user mode has no
//! operation for it. libpmem reports success here and does nothing.
//!
//! Caches do not alias, and `SHMLBA` is a page since Linux 6.8 (commit d23b77953f5a). Before, from 5.19 on, it is 64
//! KiB (`asm/shmparam.h`, `__ARCH_FORCE_SHMLBA`), because store fill buffers alias. On such kernels two mappings of a
//! page agree only at multiples of 64 KiB, which the data here do not state.
//!
//! Sources: `LoongArch` Reference Manual vol. 1, 4.2.2 (CACOP); Linux
//! `arch/loongarch/include/asm/cacheops.h`, `arch/loongarch/mm/cache.c`.

use super::advice::persist_files;
use super::{Architecture, DataCache, Missing, Unsupported, refused};

/// The architecture as data.
pub const ARCHITECTURE: Architecture = refused::architecture(
    "loongarch64",
    Unsupported::new(
        Missing::Operation,
        "CACOP, the only instruction that writes a line back, is privileged on LoongArch",
        concat!(persist_files!(), "; devices are coherent"),
    ),
    DataCache::never(
        "Linux 6.8 arch/loongarch/Kconfig: ARCH_HAS_CPU_CACHE_ALIASING is not selected",
    ),
);
