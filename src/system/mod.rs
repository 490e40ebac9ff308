//! Facts from the operating system: evidence from `/proc`, `/sys` and the calls of Linux, and the calls
//! that persist a file elsewhere.
//!
//! Reading and deciding are apart. Readers take a [`Tree`](tree::Tree) whose root is a parameter, so that any machine can
//! be replayed in a test; [`report`](crate::report) and `dax` draw the conclusions.

#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(cachemaint_loom)))]
pub(crate) mod backing;
pub(crate) mod bad_blocks;
pub(crate) mod cache_levels;
pub(crate) mod calls;
// Clippy knows a test by an attribute of its own.
#[cfg(test)]
#[cfg(unix)]
pub(crate) mod fixture;
pub(crate) mod kernel;
#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(cachemaint_loom)))]
#[expect(unsafe_code, reason = "asks for a limit")]
pub mod limits;
#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(cachemaint_loom)))]
pub mod naming;
pub(crate) mod nvdimm;
pub(crate) mod surroundings;
pub(crate) mod tree;
