//! A state to be checked.

use core::fmt::Display;

use serde::{Serialize, Serializer};

/// A state without its content.
#[derive(Clone, Debug, Serialize)]
pub struct Trial<C: Display> {
    /// The name of the state.
    #[serde(serialize_with = "displayed")]
    pub choice: C,
    /// The number of lines that the program had printed: what it had acknowledged.
    pub acknowledged: usize,
    /// True if the cut came between such a line and the program's end.
    pub is_between: bool,
    /// The number of effects, or of sectors, that were not durable.
    pub pending: usize,
    /// The number of these that were lost.
    pub lost: usize,
    /// True if an fsync would have prevented the loss if the clock had ticked before it.
    pub depends_on_clock: bool,
}

/// Serializes a value as it is printed.
pub(crate) fn displayed<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}
