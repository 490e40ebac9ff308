//! DAX files, as their users rely on them. Tests that need a process of their own are the programs `dax_*` beside
//! this folder.

#![cfg(all(
    feature = "dax",
    target_os = "linux",
    target_has_atomic = "64",
    not(miri),
    not(cachemaint_loom)
))]

mod copies;
mod counted_calls;
mod descriptors;
mod files;
mod locks;
mod populate;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod refused_calls;
mod resize;
mod views;

use cachemaint::dax::Options;
use std::path::PathBuf;
use tempfile::TempDir;

fn options() -> Options {
    Options::new().allow_page_granularity()
}

/// Returns the path of a file that is still to be created, and its directory, which is removed when it is dropped.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    (directory, path)
}
