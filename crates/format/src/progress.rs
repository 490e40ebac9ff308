//! The progress of reading a whole journal or store.

/// The progress of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes read so far.
    pub done: u64,
    /// The maximum number of bytes to read.
    pub most: u64,
}

impl Progress {
    /// Returns the progress of a read.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(done: u64, most: u64) -> Self {
        Self { done, most }
    }
}
