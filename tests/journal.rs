//! The journal, as its users rely on it.

#![cfg(target_has_atomic = "64")]
#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of records are small")]

// On a simulated medium and without `unsafe`, and of many cases: Miri would take hours and find nothing.
#[cfg(not(miri))]
#[path = "cases/mod.rs"]
mod cases;
#[cfg(not(miri))]
#[path = "journal/claims.rs"]
mod claims;
#[cfg(not(miri))]
#[path = "counting/mod.rs"]
mod counting;
#[cfg(not(miri))]
#[path = "journal/crashes.rs"]
mod crashes;
#[cfg(not(miri))]
#[path = "journal/creation.rs"]
mod creation;
#[cfg(not(miri))]
#[path = "journal/damage.rs"]
mod damage;
#[cfg(not(miri))]
#[path = "counting/erased.rs"]
mod erased;
#[cfg(not(miri))]
#[path = "journal/evidence.rs"]
mod evidence;
#[cfg(not(miri))]
#[path = "counting/failed.rs"]
mod failed;
#[cfg(not(miri))]
#[path = "journal/failed_medium.rs"]
mod failed_medium;
#[cfg(not(miri))]
#[path = "journal/faulty.rs"]
mod faulty;
#[path = "journal/files.rs"]
mod files;
#[cfg(not(miri))]
#[path = "journal/format.rs"]
mod format;
#[cfg(not(miri))]
#[path = "journal/life.rs"]
mod life;
#[cfg(not(miri))]
#[path = "journal/lives.rs"]
mod lives;
#[cfg(not(miri))]
#[path = "counting/looks.rs"]
mod looks;
#[cfg(not(miri))]
#[path = "counting/pages.rs"]
mod pages;
#[cfg(not(miri))]
#[path = "journal/proofs.rs"]
mod proofs;
#[cfg(not(miri))]
#[path = "journal/replaced.rs"]
mod replaced;
#[cfg(not(miri))]
#[path = "journal/rewritten.rs"]
mod rewritten;
#[path = "journal/second_writer.rs"]
mod second_writer;
#[cfg(not(miri))]
#[path = "skip/mod.rs"]
mod skip;
#[cfg(not(miri))]
#[path = "journal/tail.rs"]
mod tail;
#[cfg(not(miri))]
#[path = "journal/uses.rs"]
mod uses;
#[cfg(not(miri))]
#[path = "journal/work.rs"]
mod work;
