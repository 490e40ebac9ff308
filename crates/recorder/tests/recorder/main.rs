//! The flight recorder: its format, the effects of damage, files, and processes that end.

#![cfg(target_has_atomic = "64")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "what fails here is a finding, and numbers are small"
)]

mod bad_blocks;
mod boots;
mod claims;
mod concurrent;
mod creation;
mod damage;
mod events;
mod failed_medium;
mod failing;
mod files;
mod format;
mod hooked;
#[cfg(all(feature = "lines", not(miri)))]
mod lines;
mod merged;
mod overtaken;
mod plain;
#[cfg(target_os = "linux")]
mod processes;
mod rewritten;
mod second_writer;
mod work;
