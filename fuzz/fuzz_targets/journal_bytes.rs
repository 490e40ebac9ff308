//! Arbitrary bytes: see `journal::bytes`.

#![no_main]

use cachemaint_fuzz::journal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: journal::Anything<'_>| journal::bytes(&input));
