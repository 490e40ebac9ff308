//! The image with mistakes: a program for a machine without an operating system that omits write-backs and fences on
//! purpose, so that the lab can check that its emulator plugin finds them. `tests/lab/src/selftest.rs` has the expected
//! verdicts.
//!
//! It is built like the other images. `cargo test -p cachemaint-lab-tests -- flush/selftest` builds and runs it.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod sequences;

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), &'static str> {
    Err(
        "this runs on machines without an operating system: cargo test -p cachemaint-lab-tests -- flush/selftest",
    )
}
