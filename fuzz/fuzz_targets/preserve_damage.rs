//! A valid medium that was damaged: see `preserve::damage`.

#![no_main]

use cachemaint_fuzz::preserve;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: preserve::Damaged| preserve::damage(&input));
