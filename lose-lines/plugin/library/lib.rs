//! Loses the stores of a machine in an emulator that were not written back and fenced.
//!
//! No emulator has caches. This plugin of QEMU models them ([`losses`]): it follows the instructions of the guest's programs
//! and kernel that write lines back and complete that, and compares the memory that the guest sees with the one that has
//! persisted. A program can talk to it by marks (`lose-lines/mark`).
//!
//! [`dma`] is another use: it finds missing maintenance for devices that do not see the cache.
//!
//! Layers, each using only those above it: [`policy`] and [`decode`] with [`x86_64`], [`aarch64`] and [`riscv64`], which
//! read instructions; [`losses`]; `ffi` is the emulator's interface and `system` the C library's, the only parts with
//! `unsafe`.
//!
//! # Limits
//! Those of [`losses`]; [`dma`] has its own.
//! - A line has 64 bytes.
//! - Code that is not 64-bit, and MOVDIRI and MOVDIR64B, which the emulator lacks, are not modelled.
//! - The plugin is loaded into the emulator's process and runs with its C library, which must not be older than the one
//!   that the plugin was built with.

pub mod aarch64;
pub mod decode;
pub mod dma;
pub mod losses;
#[path = "../src/policy.rs"]
pub mod policy;
pub mod riscv64;
mod system;
pub mod x86_64;

// Tests are programs, which have no emulator to link with.
#[cfg(all(not(test), target_os = "linux"))]
#[expect(unsafe_code, reason = "the emulator calls and is called in C")]
mod ffi;

/// Returns the decoder for a target, by the emulator's name for it.
#[must_use]
pub fn decoder(target: &str) -> Option<decode::Decoder> {
    match target {
        "x86_64" => Some(x86_64::DECODER),
        "aarch64" => Some(aarch64::DECODER),
        "riscv64" => Some(riscv64::DECODER),
        _ => None,
    }
}
