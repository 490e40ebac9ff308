//! Power cuts of programs that write files on an ordinary drive.
//!
//! One run of a program in a machine is logged: the drive's writes and flushes, and the lines that the program prints.
//! From that log, each state that a power cut could have left is built ([`lose_lines_drive::states`]) and checked in a machine, whose kernel
//! recovers the file system. None of this needs the plugin.

mod explanation;
mod files;
pub mod flushes;
mod machine;
pub mod trials;

pub use self::machine::{InMachine, Prepared};
