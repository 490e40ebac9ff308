//! The way of bytes to a medium, and the part of them that an event leaves.

/// The stage that bytes have reached on their way to the medium when an event happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Stage {
    /// Stored, and no more: dirty in a cache or in the page cache.
    Stored,
    /// Persisted, and the call has returned: accepted by the domain that keeps it at power loss.
    Persisted,
    /// Deep persisted: after the above the kernel has flushed the medium's own buffers, by `fsync` or
    /// `msync` on the file or by the region's `deep_flush`. Where the region has flush hints, nothing
    /// rests on stored energy any more; elsewhere the kernel has nothing to flush.
    DeepPersisted,
}

impl Stage {
    /// All stages, the least first.
    pub const ALL: &'static [Self] = &[Self::Stored, Self::Persisted, Self::DeepPersisted];

    /// Returns the stage in a word or two.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Persisted => "persisted",
            Self::DeepPersisted => "deep persisted",
        }
    }
}

impl core::fmt::Display for Stage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// The survival of bytes after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Survival {
    /// The bytes survive, as the platform claims.
    Yes,
    /// The bytes are lost, or must be taken for lost.
    No,
    /// The bytes may survive; no source promises it.
    NotPromised,
    /// The bytes survive if this condition holds.
    If(&'static str),
}

impl core::fmt::Display for Survival {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Yes => f.pad("yes"),
            Self::No => f.pad("no"),
            Self::NotPromised => f.pad("not promised"),
            Self::If(condition) => write!(f, "if {condition}"),
        }
    }
}
