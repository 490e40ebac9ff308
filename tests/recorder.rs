//! The flight recorder: its format, what damage does to it, files, and processes that end.

#![cfg(all(feature = "recorder", target_has_atomic = "64"))]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "what fails here is a finding, and numbers are small"
)]

mod cases;
mod counting;
#[cfg(all(feature = "dax", target_os = "linux"))]
#[path = "skip/mod.rs"]
mod skip;

#[path = "counting/failed.rs"]
mod failed;
#[path = "counting/looks.rs"]
mod looks;
#[path = "counting/pages.rs"]
mod pages;

/// All tests have one name in front, by which they are left out on emulators: they do the same on every CPU.
mod recorder {
    mod boots;
    mod claims;
    mod concurrent;
    mod creation;
    mod damage;
    mod events;
    mod failed_medium;
    mod failing;
    #[cfg(feature = "dax")]
    mod files;
    mod format;
    mod hooked;
    mod merged;
    mod overtaken;
    mod plain;
    #[cfg(all(feature = "dax", target_os = "linux"))]
    mod processes;
    mod rewritten;
    mod work;
}
