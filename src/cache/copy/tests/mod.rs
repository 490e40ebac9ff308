//! Tests of the copies: of what is chosen, of what is executed, and on this CPU.

#[cfg(not(loom))]
mod here;
mod policy;
mod recording;

use super::Destination;

const HINTS: [Destination; 4] =
    [Destination::Unknown, Destination::Cached, Destination::Dirty, Destination::Cold];
