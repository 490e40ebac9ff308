//! The properties of a store of blobs that the host and the agent share.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of a blob of several chunks with their own checksums.
pub const STATE: &str = "state";
/// The name of a blob of a few lines.
pub const REGISTERS: &str = "registers";

/// The findings of the opening of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The event since a machine last replaced blobs, as the library names it; empty if none has.
    pub origin: String,
    /// The damaged blobs, if all were verified.
    pub damaged: Option<Vec<String>>,
    /// The blobs by name, with the number that all of their bytes belong to.
    pub blobs: BTreeMap<String, u64>,
}
