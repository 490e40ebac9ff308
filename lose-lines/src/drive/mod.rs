//! Power cuts of programs that write files on an ordinary drive.
//!
//! One run of a program in a machine is logged: the drive's writes and flushes, and the lines that the program prints.
//! From that log, each state that a power cut could have left is built ([`states`]) and checked in a machine or on this
//! system. None of this needs the plugin.

pub mod explanation;
pub mod file_system;
pub mod files;
pub mod flushes;
mod host;
pub mod image;
pub mod log;
mod machine;
mod nbd;
mod server;
pub mod states;
pub mod trials;

use core::time::Duration;

use clap::ValueEnum;

pub use self::machine::{Prepared, Recorded};
use crate::kit::Kit;
use crate::program::CommandLine;

/// The place where states are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckOn {
    /// In a machine, where the kernel recovers the file system.
    Machine,
    /// On this system, on a copy of the files after replaying the journal: ext4 only, and much faster.
    Host,
}

/// A program to be tested on a drive.
pub struct DriveTest<'a> {
    pub kit: &'a Kit,
    /// The name of the machines.
    pub name: &'a str,
    /// A program that makes the initial state of the recording.
    pub prepare: Option<CommandLine>,
    pub program: CommandLine,
    pub check: CommandLine,
    /// Additions to the environment of all three programs.
    pub environment: Vec<(String, String)>,
    /// The time that each of them may take.
    pub limit: Duration,
}
