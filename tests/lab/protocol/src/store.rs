//! The properties of a store of blobs that the host and the agent share.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A blob of a few stretches that have checksums of their own.
pub const STATE: &str = "state";
/// A blob of a few lines.
pub const REGISTERS: &str = "registers";

/// The findings of the opening of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The last event, as the library names it.
    pub origin: String,
    /// The blobs that are damaged, if all were verified.
    pub damaged: Option<Vec<String>>,
    /// The blobs by their names: the number of each, all of whose bytes are those of that number.
    pub blobs: BTreeMap<String, u64>,
}
