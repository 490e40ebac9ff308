//! Power cuts of programs that write files on an ordinary drive.
//!
//! One run of a program in a machine is logged: the drive's writes and flushes, and the lines that the program prints.
//! From that log, each state that a power cut could have left is built ([`lose_lines_drive::states`]) and checked in a machine, whose kernel
//! recovers the file system. None of this needs the plugin.

pub mod explanation;
pub mod files;
pub mod flushes;
mod machine;
pub mod trials;

use core::time::Duration;

pub use self::machine::{Prepared, Recorded};
use crate::check::Check;
use lose_lines_machine::kit::Kit;
use lose_lines_machine::program::CommandLine;

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

impl DriveTest<'_> {
    pub(crate) fn checking(&self) -> Check<'_> {
        Check { command: &self.check, environment: &self.environment, limit: self.limit }
    }
}
