//! A valid medium with damage: see `store::damage`.

#![no_main]

use cachemaint_fuzz::store;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: store::Damaged| store::damage(&input));
