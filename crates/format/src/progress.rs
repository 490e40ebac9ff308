//! The progress of a reader of a whole journal or store.

/// The progress of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that were read.
    pub done: u64,
    /// Bytes that there are at most.
    pub most: u64,
}

impl Progress {
    /// Returns the progress of a reading.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(done: u64, most: u64) -> Self {
        Self { done, most }
    }
}
