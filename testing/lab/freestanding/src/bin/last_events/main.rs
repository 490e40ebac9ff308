//! The image of a kernel whose CPUs record events in a ring buffer in RAM until one of them panics. The panic handler
//! writes the recording back, with one CPU and without an interrupt to the others, and resets the machine. After the
//! reset, the image reads the recording. `testing/lab/src/last_events.rs` judges its output.
//!
//! It is built like the other images. `cargo test -p cachemaint-lab-tests -- freestanding` builds and runs it.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod ring_buffer;

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), &'static str> {
    Err(
        "this runs on machines without an operating system: cargo test -p cachemaint-lab-tests -- freestanding",
    )
}
