//! A program without an operating system that makes mistakes on purpose, each between two marks of
//! `cachemaint-lab-mark`, so that the lab can tell whether its emulator plugin finds them. What each
//! verdict must say stands in `xtask/src/lab/plugin.rs`.
//!
//! It is built for targets without an operating system; on any other it does nothing.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(not(target_os = "none"), expect(dead_code, reason = "planted, and run elsewhere"))]

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[expect(unsafe_code, reason = "the mistakes are made of instructions")]
mod machine;
#[expect(unsafe_code, reason = "ring 0 and EL1 vouch for what an operating system would")]
mod planted;

#[cfg(target_os = "none")]
#[cfg_attr(target_arch = "x86_64", path = "boot/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "boot/aarch64.rs")]
#[expect(unsafe_code, reason = "nothing sets the machine up but this")]
mod boot;

#[cfg(not(target_os = "none"))]
fn main() {}
