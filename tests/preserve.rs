//! The store of preserved state, as its users rely on it.

#![cfg(target_has_atomic = "64")]
#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of blobs are small")]

// On a simulated medium and without `unsafe`, and of many cases: Miri would take hours and find nothing.
#[cfg(not(miri))]
#[path = "cases/mod.rs"]
mod cases;
#[cfg(not(miri))]
#[path = "counting/mod.rs"]
mod counting;
#[cfg(not(miri))]
#[path = "preserve/crashes.rs"]
mod crashes;
#[cfg(not(miri))]
#[path = "preserve/damage.rs"]
mod damage;
#[cfg(any(feature = "dax", not(miri)))]
#[path = "counting/erased.rs"]
mod erased;
#[cfg(not(miri))]
#[path = "counting/failed.rs"]
mod failed;
#[cfg(not(miri))]
#[path = "preserve/failed_medium.rs"]
mod failed_medium;
#[cfg(feature = "dax")]
#[path = "preserve/files.rs"]
mod files;
#[cfg(not(miri))]
#[path = "preserve/format.rs"]
mod format;
#[cfg(all(feature = "serde", not(miri)))]
#[path = "preserve/json.rs"]
mod json;
#[cfg(not(miri))]
#[path = "preserve/life.rs"]
mod life;
#[cfg(not(miri))]
#[path = "counting/looks.rs"]
mod looks;
#[cfg(not(miri))]
#[path = "preserve/model.rs"]
mod model;
#[cfg(not(miri))]
#[path = "preserve/part.rs"]
mod part;
#[cfg(not(miri))]
#[path = "preserve/plain.rs"]
mod plain;
#[cfg(not(miri))]
#[path = "preserve/random.rs"]
mod random;
#[cfg(not(miri))]
#[path = "preserve/region_crashes.rs"]
mod region_crashes;
#[cfg(not(miri))]
#[path = "preserve/region_seals.rs"]
mod region_seals;
#[cfg(not(miri))]
#[path = "preserve/regions.rs"]
mod regions;
#[cfg(not(miri))]
#[path = "preserve/seal.rs"]
mod seal;
#[cfg(feature = "dax")]
mod skip;
