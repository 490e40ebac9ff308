//! A drive for emulated machines that logs writes, flushes and printed lines, and builds the states that a power cut can
//! leave.

#![expect(
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "lose-lines is its user"
)]

pub mod content;
pub mod file_system;
pub mod log;
#[doc(hidden)]
pub mod nbd;
pub mod server;
pub mod states;
