//! The points that a write-back is aimed at.

/// The point that a write-back is aimed at. A farther point includes the nearer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
// Exhaustive on purpose: a write-back to the wrong point loses data, so a new point must not pass as another.
pub enum Point {
    /// The point at which all observers of memory agree: use it for devices and other hosts.
    Coherency,
    /// The point beyond which power loss loses nothing, if the platform has one.
    Persistence,
    /// The point of persistence even if the platform's stored energy fails.
    DeepPersistence,
}

impl Point {
    /// All points, the nearest first.
    pub const ALL: &'static [Self] = &[Self::Coherency, Self::Persistence, Self::DeepPersistence];

    /// Returns the point's name in a sentence.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Coherency => "coherency",
            Self::Persistence => "persistence",
            Self::DeepPersistence => "deep persistence",
        }
    }
}

impl core::fmt::Display for Point {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
