//! Arbitrary bytes: see `recorder::bytes`.

#![no_main]

use cachemaint_fuzz::recorder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: recorder::Anything<'_>| recorder::bytes(&input));
