//! The image: a program for a machine without an operating system, which proves what the library
//! does at EL1 and in ring 0.
//!
//! `cargo build --target aarch64-unknown-none` makes the image for QEMU's arm64 board `virt`, with
//! `x86_64-unknown-none` that for a PC; `cargo xtask lab freestanding` builds and runs both.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod proof;

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), &'static str> {
    Err("this runs on machines without an operating system: cargo xtask lab freestanding")
}
