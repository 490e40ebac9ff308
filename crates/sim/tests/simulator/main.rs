//! The simulator against published results, against brute force, and at work.

// Without atomics of 64 bits, no medium exists.
#![cfg(target_has_atomic = "64")]
#![expect(clippy::unwrap_used, reason = "also in functions of tests")]

mod brute_force;
mod copies;
mod damage;
mod endless;
mod exploration;
mod histories;
mod kept;
mod kills;
mod litmus;
mod lives;
mod locks;
mod naive;
mod neutral;
mod planted;
mod threads;
mod unordered;
