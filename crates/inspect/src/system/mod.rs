//! Facts from the kernel's files in `/proc` and `/sys`.
//!
//! Reading and deciding are separate. Readers take a `Tree` with any root, so tests can replay any machine.

mod bad_blocks;
pub(crate) mod cpuinfo;
pub(crate) mod kernel;
pub(crate) mod nvdimm;

#[cfg(all(target_os = "linux", not(cachemaint_loom)))]
mod backing;
#[cfg(all(target_os = "linux", not(cachemaint_loom)))]
pub(crate) use backing::{Doubt, disks, mounts, physical};
#[cfg(all(target_os = "linux", not(cachemaint_loom)))]
pub(crate) use bad_blocks::Listed;
