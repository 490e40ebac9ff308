//! Fences, and their places around an operation.

/// A fence of the architecture, by its place in [`Architecture::fences`](super::Architecture::fences).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub u8);

impl Fence {
    /// Nothing is executed. Every architecture has it at place 0.
    pub const NONE: Self = Self(0);

    /// Returns the fence that does the work of both.
    pub(crate) const fn or_stronger(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }
}

/// The fences around all ranges of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fences {
    /// Executed before the first line.
    pub before: Fence,
    /// Executed after the last line. When it has completed, so has the operation.
    pub after: Fence,
}

impl Fences {
    /// Returns these without the fence that completes the operation.
    pub(crate) const fn unfenced(self) -> Self {
        Self { after: Fence::NONE, ..self }
    }

    /// Returns only the fence that completes the operation.
    pub(crate) const fn completion(self) -> Self {
        Self { before: Fence::NONE, ..self }
    }
}
