//! Arbitrary bytes: see `store::bytes`.

#![no_main]

use cachemaint_fuzz::store;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: store::Anything<'_>| store::bytes(&input));
