//! A valid medium with damage: see `recorder::damage`.

#![no_main]

use cachemaint_fuzz::recorder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: recorder::Damaged| recorder::damage(&input));
