//! Bytes that may be anything: see `preserve::bytes`.

#![no_main]

use cachemaint_fuzz::preserve;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: preserve::Anything<'_>| preserve::bytes(&input));
