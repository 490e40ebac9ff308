//! The journal, as its users rely on it.

#![cfg(target_has_atomic = "64")]
#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of records are small")]

mod bad_pages;
// These tests use simulated media, no `unsafe`, and many cases: Miri would take hours and find nothing.
#[cfg(not(miri))]
mod claims;
#[cfg(not(miri))]
mod crashes;
#[cfg(not(miri))]
mod creation;
#[cfg(not(miri))]
mod damage;
#[cfg(not(miri))]
mod evidence;
#[cfg(not(miri))]
mod failed_medium;
#[cfg(not(miri))]
mod faulty;
mod files;
#[cfg(not(miri))]
mod format;
#[cfg(not(miri))]
mod group_commit;
#[cfg(not(miri))]
mod life;
#[cfg(not(miri))]
mod lives;
#[cfg(not(miri))]
mod proofs;
#[cfg(not(miri))]
mod replaced;
#[cfg(not(miri))]
mod rewritten;
#[cfg(not(miri))]
mod second_writer;
#[cfg(not(miri))]
mod tail;
#[cfg(not(miri))]
mod threads;
#[cfg(not(miri))]
mod trims;
#[cfg(not(miri))]
mod uses;
#[cfg(not(miri))]
mod work;
