//! A valid medium with damage: see `journal::damage`.

#![no_main]

use cachemaint_fuzz::journal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: journal::Damaged| journal::damage(&input));
