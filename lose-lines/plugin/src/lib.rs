//! The emulator's plugin as a file, and the choice of what survives a power cut, which it shares with its users.
//!
//! The plugin itself is the folder `library`: a dynamic library without any other crate, which `build.rs` compiles.

pub mod policy;

/// The plugin, a dynamic library for QEMU; empty except on x86-64 Linux with glibc.
pub const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.so"));
