//! Facts from the operating system: evidence from `/proc`, `/sys` and the calls of Linux, and the calls
//! that persist a file elsewhere.
//!
//! Reading and deciding are separate. Readers take a [`Tree`](tree::Tree) with any root, so tests can replay any
//! machine; [`report`](crate::report) and `dax` draw the conclusions.

#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(cachemaint_loom)))]
pub(crate) mod backing;
pub(crate) mod bad_blocks;
pub(crate) mod cache_levels;
pub(crate) mod calls;
// Clippy recognises tests only by their own attribute.
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
