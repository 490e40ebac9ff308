//! The store, as its users rely on it.

#![cfg(target_has_atomic = "64")]
#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of blobs are small")]

// These tests use simulated media, no `unsafe`, and many cases: Miri would take hours and find nothing.
#[cfg(not(miri))]
mod backup;
#[cfg(not(miri))]
mod bad_blocks;
#[cfg(not(miri))]
mod crashes;
#[cfg(not(miri))]
mod damage;
#[cfg(not(miri))]
mod failed_medium;
#[cfg(not(miri))]
mod faulty;
mod files;
#[cfg(not(miri))]
mod format;
#[cfg(not(miri))]
mod given_back;
#[cfg(all(feature = "serde", not(miri)))]
mod json;
#[cfg(not(miri))]
mod life;
#[cfg(not(miri))]
mod model;
#[cfg(not(miri))]
mod peak;
#[cfg(not(miri))]
mod random;
#[cfg(not(miri))]
mod region_crashes;
#[cfg(not(miri))]
mod region_seals;
#[cfg(not(miri))]
mod regions;
#[cfg(not(miri))]
mod rewritten;
#[cfg(not(miri))]
mod seal;
#[cfg(not(miri))]
mod second_writer;
#[cfg(not(miri))]
mod unchanged;
