//! Emulated machines: emulators, kernels and programs from Debian's packages, the first file system, and the host's side of
//! the agent.
//!
//! A [`kit::Kit`] contains the components of machines. A [`machine::setup::Setup`] describes a [`machine::Machine`];
//! [`pmem`] provides those with persistent memory, and [`losses`] what they lose at a crash.
//!
//! # Limits
//! The emulators run on x86-64 with Debian or Ubuntu; on arm64, only those of drives (compiled, and never run).

#![expect(
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "lose-lines and the checks of one workspace are its users"
)]

pub mod acknowledged;
pub mod architecture;
pub mod cache;
pub mod command;
pub mod debian;
pub mod elf;
pub mod emulator;
pub mod initramfs;
pub mod kit;
pub mod losses;
pub mod machine;
pub mod plugin;
pub mod pmem;
pub mod program;
pub mod sources;
pub mod temporary;
pub mod transcript;
pub mod unavailable;

pub use lose_lines_agent as agent;
