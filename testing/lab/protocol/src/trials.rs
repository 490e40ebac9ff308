//! The properties of trials that the host and the agent share.

use serde::{Deserialize, Serialize};

/// The names of the works.
pub const WORKS: [&str; 4] = ["file", "journal", "recorder", "store"];

/// The findings of some trials of one work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The address at which the agent's program begins in memory.
    pub base: u64,
    /// The number of lives.
    pub lives: u64,
    /// The number of lives that a crash ended before their work was done.
    pub crashed: u64,
    /// A description of the failed trial, which is the last one.
    pub failure: Option<String>,
}
