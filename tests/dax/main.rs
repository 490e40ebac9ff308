//! DAX files, as their users rely on them. Tests that need a process of their own are the programs `dax_*` beside
//! this folder.

#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(miri), not(loom)))]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "../own_mount/mod.rs"]
mod own_mount;
#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(miri), not(loom)))]
#[path = "../skip/mod.rs"]
mod skip;

mod adopted;
mod copies;
mod descriptors;
mod files;
mod guard;
mod leases;
mod locks;
mod placement;
mod populate;
mod resize;
mod views;
