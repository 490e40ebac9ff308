//! Measuring the costs of cache maintenance, soundly enough to compare.
//!
//! | module | purpose |
//! |---|---|
//! | [`pinning`] | one core for the whole measurement |
//! | [`clock`] | short times in nanoseconds, less the clock's own cost |
//! | [`lines`] | memory whose lines are brought into a known state, outside the timed part |
//! | [`blocks`] | several loops in one process, in interleaved blocks |
//! | [`statistics`] | medians and ratios with their 95 % intervals |
//! | [`writeback`] | the cost of a write-back of lines in a known state |
//! | [`streaming`] | whether lines stay in L1 after streaming stores on this CPU |
//! | [`copy`] | the cost of copies that are durable on return, by size, placement and method |
//! | [`machine`] | the machine of the measurement: CPU, kernel |
//!
//! The medium is always ordinary memory (DRAM). The figures are therefore costs of caches and memory controllers;
//! persistent media add their own. All data are nonzero and change from sample to sample, since memory paths treat
//! zeros specially.

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

/// The library's block stores, which it does not offer individually.
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

/// Returns a handle for the point of persistence, or for that of coherency if there is no instruction for it: only the
/// time matters here.
///
/// # Errors
/// If user mode has no write-back here.
pub fn to_persistence() -> Result<Cache, Unsupported> {
    let builder = Cache::builder().point(Point::Persistence);
    builder.build().or_else(|_| builder.accept_coherency_as_persistence().build())
}
