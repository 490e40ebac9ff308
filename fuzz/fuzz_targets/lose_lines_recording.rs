//! Arbitrary bytes: see `lose_lines::recording`.

#![no_main]

use cachemaint_fuzz::lose_lines;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| lose_lines::recording(input));
