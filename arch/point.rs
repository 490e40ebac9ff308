//! The points that a write-back is aimed at.

/// How far a write-back is aimed. A farther point includes the nearer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Where all observers of memory agree: the point to reach for devices and other hosts.
    Coherency,
    /// What power loss keeps, if the platform has such a point.
    Persistence,
    /// What power loss keeps even if the energy store of the platform fails.
    DeepPersistence,
}

impl Point {
    /// All points, the nearest first.
    pub const ALL: [Self; 3] = [Self::Coherency, Self::Persistence, Self::DeepPersistence];

    /// The point's name in a sentence.
    #[must_use]
    pub const fn name(self) -> &'static str {
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
