//! Tests of the copies: of the choice, of the executed steps, and on this CPU.

#[cfg(not(cachemaint_loom))]
mod here;
mod recording;
mod table;

use super::Destination;

const HINTS: [Destination; 3] = [Destination::Unknown, Destination::Cached, Destination::Cold];
