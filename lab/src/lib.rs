//! Runs programs on emulated machines with persistent memory, cuts their power, and loses the cache lines that were not
//! written back: the library behind the tool `lose-lines`.
//!
//! A [`Kit`](kit::Kit) has the parts of machines: emulator, kernel and file system, from Debian's packages. A
//! [`Setup`](machine::setup::Setup) describes a [`Machine`](machine::Machine); [`pmem`] has those with persistent memory.
//! [`CrashTest`](crash::CrashTest) tests a program.
//!
//! # Limits
//! The emulators run on x86-64 with Debian or Ubuntu.

#![expect(
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "the tool and the checks of one workspace are its users"
)]

pub mod architecture;
pub mod cache;
pub mod command;
pub mod crash;
pub mod debian;
pub mod drive;
pub mod elf;
pub mod emulator;
pub mod initramfs;
pub mod kit;
pub mod log;
pub mod losses;
pub mod machine;
pub mod plugin;
pub mod pmem;
pub mod program;
pub mod restart;
pub mod temporary;
pub mod unavailable;
pub mod words;
