//! Explains what survives a crash on this machine and in a file, with the evidence.
//!
//! An opening of `cachemaint` asks only what decides about instructions and refusals. This crate asks the rest, when
//! somebody wants to know.
//!
//! | question | answer |
//! |---|---|
//! | What survives in this file, and why? | [`FileReport`] |
//! | What does this machine promise? | [`HostReport`] |
//! | What survives on a medium? | [`survival`] |
//! | What does a hypervisor do with cache maintenance? | [`guest`] |
//! | Where are a file's bytes, and which are lost? | `placement`, `bad_blocks` |
//!
//! ```
//! # #[cfg(feature = "std")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cachemaint::dax::Options;
//! use cachemaint_inspect::FileReport;
//! use cachemaint_inspect::survival::{Event, Stage};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("records");
//! let file = Options::new().allow_page_granularity().create_new(&path, 1 << 16)?;
//! let report = FileReport::of(file.view())?;
//! println!("{} on {}: {}", report.file_system, report.device, report.reason);
//! println!("{}", report.survives(Stage::Persisted, Event::PowerLoss));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "std"))]
//! # fn main() {}
//! ```
//!
//! # Features
//! `std` is on by default. Without it there are only [`survival`] and [`guest`], for code without an operating system. `serde` brings
//! `Serialize` for the reports.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]

#[cfg(any(feature = "std", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(feature = "std")]
mod answers;
#[cfg(all(
    feature = "std",
    any(target_os = "linux", target_os = "macos", windows),
    not(cachemaint_loom)
))]
mod file;
pub mod guest;
#[cfg(feature = "std")]
mod host;
pub mod survival;
#[cfg(feature = "std")]
mod system;

#[cfg(feature = "std")]
pub use answers::{Evidence, Unknown};
#[cfg(all(feature = "std", target_os = "linux", not(cachemaint_loom)))]
pub use file::{BadBlocks, bad_blocks};
#[cfg(all(
    feature = "std",
    any(target_os = "linux", target_os = "macos", windows),
    not(cachemaint_loom)
))]
pub use file::{Extent, FileReport, Placement, placement};
#[cfg(feature = "std")]
pub use host::HostReport;
#[cfg(feature = "std")]
pub use system::{
    kernel::Kernel,
    nvdimm::{MemoryDevice, PmemRegion},
};

/// A machine for tests: a tree of `/proc` and `/sys`, written by hand from the kernel's sources.
#[cfg(test)]
#[cfg(all(feature = "std", unix))]
mod tests {
    use cachemaint::family::tree::Tree;
    pub(crate) use cachemaint_test_support::fixture::Fixture;

    pub(crate) fn tree_of(fixture: &Fixture) -> Tree {
        Tree::at(fixture.root())
    }
}
