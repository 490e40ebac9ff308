//! s390x: the caches are part of storage, as the architecture describes it.
//!
//! The architecture has no instruction that writes a line back, since no observer could see a difference: CPUs and the
//! channel subsystem share one coherent storage. The need depends on the observer:
//!
//! | observer | need |
//! |---|---|
//! | another CPU, an I/O device | only ordering (`Coherent` of this crate, or an atomic) |
//! | a DAX file on a DCSS segment (`dcssblk`) | nothing to write back: the segment is memory of z/VM, and a z/VM command saves it |
//! | power loss | no persistent memory is attached to the caches; files are persisted by `msync` or `fsync` |
//!
//! Sources: z/Architecture Principles of Operation (SA22-7832), chapter 5, "Storage consistency" (storage as observed
//! by CPUs and the channel subsystem). Linux `drivers/s390/block/dcssblk.c`, where the DAX device has no write-back of
//! its own, and `arch/s390/Kconfig`, which does not select `ARCH_HAS_PMEM_API`.

use super::advice::persist_files;
use super::{Architecture, DataCache, Missing, Unsupported, refused};

/// The architecture as data.
pub const ARCHITECTURE: Architecture = refused::architecture(
    "s390x",
    Unsupported::new(
        Missing::Operation,
        "s390x has no instruction to write back a line: its caches are coherent with all CPUs and devices",
        concat!("no maintenance is needed for devices; ", persist_files!()),
    ),
    DataCache::never("Linux arch/s390/Kconfig: ARCH_HAS_CPU_CACHE_ALIASING is not selected"),
);
