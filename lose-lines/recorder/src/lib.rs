//! Records what a program does to the files of a directory, as a log of operations.

#![expect(
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    reason = "lose-lines is its user"
)]

mod calls;
mod closes;
mod mapped;
mod paths;
mod program;
mod recorder;
mod stack;
mod tracee;

pub use recorder::{Fault, FaultKind, Recorded, Recording, no_input};
pub use stack::Sources;
