//! Finds missing cache maintenance for DMA in an unmodified image.
//!
//! The emulator has no caches, so every device sees every store and every load sees what devices wrote. [`model`] keeps
//! a second copy of RAM beside it: the oldest bytes that the CPUs' cache may hold. A load whose bytes differ between
//! the two would have read stale data on a machine whose devices do not snoop.
//!
//! ```text
//!  CPU ── cacheable access ──> model ── shadow (a cache may hold) ─┐
//!   │                            │                                  ├─ differ: a device wrote
//!   ├── other access ────────────┼──────> RAM (devices see) ───────┘
//!   └── store to a device ──> virtio: the buffers of each queue at its doorbell
//! ```
//!
//! [`table`] has what goes wrong when an operation meets a line. [`architecture`] has the facts of each architecture: its
//! maintenance, its fences, and the memory type of a mapping, which the emulator does not say, from the guest's page tables.
//! [`virtio`] follows the queues of devices. With hooks, the emulator's own functions for DMA say what any device accessed
//! (`ffi::hooks`).
//!
//! The model has one cache for all CPUs, and the worst: nothing is evicted unless the guest asks, and then everything
//! may have been fetched again before a device wrote. The emulator must run all CPUs in one thread; otherwise a CPU could
//! load another's store before the model knows of it.
//!
//! # Limits
//! - Without hooks: a device's write of equal bytes, and reads by devices other than virtio, are not seen. Bytes lost by
//!   an invalidation are found only in lines that a virtio queue named.
//! - Maintenance by set and way counts as maintenance of all lines of all CPUs.
//! - Not modelled: stage 2 of translation (tables are read where the guest's own addresses say), system caches behind
//!   registers, instruction caches, cacheable aliases of memory that is also mapped non-cacheable, and real evictions.
//!   Packed virtqueues, virtio's legacy interface of PCI, and queues behind an IOMMU are not followed.
//! - A store between maintenance and its fence is not ordered with that maintenance, and of two writes of a device before and
//!   in between only the first counts.
//! - Stores that the emulator makes by itself look like a device's: SVE stores, MOPS, semihosting. Run the guest on a CPU
//!   without SVE and MOPS.

mod aarch64;
pub mod architecture;
mod arm;
pub mod machine;
pub mod model;
pub mod ram;
mod riscv64;
pub mod table;
mod tables;
pub mod virtio;

use architecture::Architecture;

const ALL: [Architecture; 3] = [aarch64::AARCH64, arm::ARM, riscv64::RISCV64];

/// Returns the architecture of a CPU with these registers.
pub fn architecture(has: impl Fn(&str) -> bool) -> Option<Architecture> {
    ALL.into_iter().find(|known| known.required.iter().all(|name| has(name)))
}
