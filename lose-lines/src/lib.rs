//! The engine of trials of the command `lose-lines`: records a program once, chooses states that a power cut can leave,
//! builds them, runs the program's check on each, and explains failures.

#![expect(
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "the command and the checks of one workspace are its users"
)]

pub mod changes;
pub mod check;
pub mod crash;
pub mod drive;
mod extents;
pub mod fewest;
pub mod files;
pub mod pool;
pub mod report;
pub mod trial;
