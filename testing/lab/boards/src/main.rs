//! Hands a driver's buffer over with the controller of a board, without an operating system: on a Cortex-M7, on a
//! Cortex-A9 with an L2C-310, and on a T-Head C906. The emulator has no caches, so this shows only that the registers
//! and instructions exist, and that a driver can be written in this way. The output goes through semihosting.

#![cfg_attr(image, no_std, no_main)]
#![allow(unsafe_code, reason = "an image starts in assembly, and knows its board")]

#[cfg(profile = "m")]
mod cortex_m7;
#[cfg(image)]
mod image;

#[cfg(not(image))]
#[expect(clippy::print_stdout, reason = "it says what it is")]
fn main() {
    println!("This is an image for a board.");
}
