//! What the checks of this workspace share: commands and their tests, compilers and packages, and the libraries for C
//! programs. The steps are in the command `cargo xtask`, and the lab in `testing/lab`.

#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "the checks of this workspace are its users"
)]

pub mod absent;
pub mod c_development;
pub mod c_libraries;
pub mod command;
pub mod counts;
pub mod host;
pub mod install;
pub mod packages;
mod skips;
pub mod toolchain;
