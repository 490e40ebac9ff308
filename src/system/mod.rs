//! The operating system: its files in `/proc` and `/sys`, boots, clocks, limits, names of files, and the calls that
//! persist a file.

pub mod boot;
pub mod calls;
pub mod clock;
#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(cachemaint_loom)))]
#[expect(unsafe_code, reason = "asks for a limit")]
pub mod limits;
#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(cachemaint_loom)))]
pub mod naming;
#[cfg(target_has_atomic = "64")]
pub mod region;
pub mod tree;
