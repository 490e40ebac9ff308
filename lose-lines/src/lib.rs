//! Runs programs on emulated machines with persistent memory, cuts their power, and loses the cache lines that were not
//! written back. This is the library behind the tool `lose-lines`.
//!
//! A `kit::Kit` contains the components of machines: emulator, kernel and file system, from Debian's packages. A
//! `machine::setup::Setup` describes a `machine::Machine`; `pmem` provides those with persistent memory.
//! `crash::CrashTest` tests a program.
//!
//! The feature `tool`, on by default, includes all of that. Without it there is only the [`agent`].
//!
//! # Limits
//! The emulators run on x86-64 with Debian or Ubuntu; on arm64, only those of drives (compiled, and never run).

#![cfg_attr(
    feature = "tool",
    expect(
        missing_docs,
        missing_debug_implementations,
        clippy::missing_errors_doc,
        clippy::must_use_candidate,
        clippy::return_self_not_must_use,
        reason = "the tool and the checks of one workspace are its users"
    )
)]

pub mod agent;

#[cfg(feature = "tool")]
pub mod acknowledged;
#[cfg(feature = "tool")]
pub mod architecture;
#[cfg(feature = "tool")]
pub mod cache;
#[cfg(feature = "tool")]
pub mod changes;
#[cfg(feature = "tool")]
pub mod check;
#[cfg(feature = "tool")]
pub mod command;
#[cfg(feature = "tool")]
pub mod crash;
#[cfg(feature = "tool")]
pub mod debian;
#[cfg(feature = "tool")]
pub mod drive;
#[cfg(feature = "tool")]
pub mod elf;
#[cfg(feature = "tool")]
pub mod emulator;
#[cfg(feature = "tool")]
pub mod fewest;
#[cfg(feature = "tool")]
pub mod files;
#[cfg(feature = "tool")]
pub mod initramfs;
#[cfg(feature = "tool")]
pub mod kit;
#[cfg(feature = "tool")]
pub mod log;
#[cfg(feature = "tool")]
pub mod losses;
#[cfg(feature = "tool")]
pub mod machine;
#[cfg(feature = "tool")]
pub mod plugin;
#[cfg(feature = "tool")]
pub mod pmem;
#[cfg(feature = "tool")]
pub mod policy;
#[cfg(feature = "tool")]
pub mod pool;
#[cfg(feature = "tool")]
pub mod program;
#[cfg(feature = "tool")]
pub mod report;
#[cfg(feature = "tool")]
pub mod restart;
#[cfg(feature = "tool")]
pub mod temporary;
#[cfg(feature = "tool")]
pub mod unavailable;
