//! Measurement of the costs of cache maintenance, soundly enough to compare.
//!
//! | module | purpose |
//! |---|---|
//! | [`pinning`] | one core for the whole measurement |
//! | [`clock`] | short times in nanoseconds, its own cost subtracted |
//! | [`lines`] | memory whose lines are brought into a known state, outside the timed part |
//! | [`blocks`] | several loops in one process, in interleaved blocks |
//! | [`statistics`] | medians and ratios with their 95 % intervals |
//! | [`writeback`] | the cost of a write-back of lines in a known state |
//! | [`streaming`] | the presence of lines in the L1 cache after streaming stores on this CPU |
//! | [`copy`] | the cost of copies that are durable at return, by size, placement and method |
//! | [`machine`] | the machine of the measurement: CPU, kernel |
//!
//! The medium is ordinary memory (DRAM) throughout. So the figures are costs of caches and memory
//! controllers; persistent media add their own. All data are non-zero and change from sample to
//! sample, since memory paths treat zeros specially.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts and times are far below 2^53, where f64 becomes inexact"
)]

pub mod blocks;
pub mod clock;
pub mod copy;
pub mod lines;
pub mod machine;
pub mod pinning;
pub mod statistics;
pub mod streaming;
pub mod writeback;

/// The library's block stores, which it does not offer one by one.
#[cfg(target_arch = "x86_64")]
#[path = "../../arch/blocks.rs"]
#[expect(dead_code, unreachable_pub, reason = "the library uses all of it")]
mod block_stores;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the time stamp counter and streaming stores have no safe form")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
use block_stores::{BlockStore, StoreKind};

use cachemaint::{Cache, Point, Unsupported};

/// Returns a handle to the point of persistence, or to that of coherency if there is no instruction
/// for it: here only the time counts.
///
/// # Errors
/// If user mode has no write-back here.
pub fn to_persistence() -> Result<Cache, Unsupported> {
    let builder = Cache::builder().point(Point::Persistence);
    builder.build().or_else(|_| builder.accept_coherency_as_persistence().build())
}
