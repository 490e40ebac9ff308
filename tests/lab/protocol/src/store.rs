//! What the host and the agent both know of a store of blobs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The large blob, of 100 MB.
pub const MEMORY: &str = "memory";
/// Bytes of the large blob: not a multiple of anything that a store is made of.
pub const MEMORY_LEN: usize = 100_000_000;
/// A blob of a few stretches that have checksums of their own.
pub const STATE: &str = "state";
/// A blob of a few lines.
pub const REGISTERS: &str = "registers";

/// What was found when a store was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What had happened, as the library names it.
    pub origin: String,
    /// Whether it had been sealed.
    pub was_sealed: bool,
    /// The blobs that are damaged, if all were verified.
    pub damaged: Option<Vec<String>>,
    /// What was damaged beside blobs, and has been mended.
    pub mended: Vec<String>,
    /// What had happened before each boot that it was opened in, the oldest first.
    pub history: Vec<String>,
    /// The blobs by their names: the number of each, all of whose bytes are those of that number.
    pub blobs: BTreeMap<String, u64>,
}
