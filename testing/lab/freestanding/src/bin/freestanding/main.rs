//! The image: a program for a machine without an operating system, which proves the library's behaviour at EL1, in ring
//! 0 and in M-mode.
//!
//! `cargo build --bin freestanding --target aarch64-unknown-none` builds the image for QEMU's arm64 board `virt`. With
//! `x86_64-unknown-none` it is for a PC, with `riscv64gc-unknown-none-elf` for the RISC-V board `virt`. `cargo xtask
//! lab freestanding` builds and runs all of them.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod proof;

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), &'static str> {
    Err(
        "this runs on machines without an operating system: cargo test -p cachemaint-lab-tests -- freestanding",
    )
}
