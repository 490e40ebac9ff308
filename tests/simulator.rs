//! The simulator against published results, against brute force, and at work.

// Without atomics of 64 bits, no medium exists.
#![cfg(target_has_atomic = "64")]
#![expect(non_ascii_idents, reason = "those that zerocopy derives")]

mod skip;

/// All under one name: a filter by it leaves out tests that are the same on every CPU where they
/// would be emulated.
mod simulator {
    mod brute_force;
    mod copies;
    mod counter;
    mod endless;
    mod exploration;
    mod hash_table;
    mod histories;
    mod kept;
    mod kills;
    mod litmus;
    mod lives;
    mod locks;
    mod naive;
    mod neutral;
    mod planted;
    #[cfg(feature = "recorder")]
    mod recorder;
    mod slots;
    mod threads;
}
