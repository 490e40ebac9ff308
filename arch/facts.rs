//! The facts of one CPU that a choice is made from.

use super::{Instruction, LineSize};

/// The facts that were found out about a CPU: its line size, the granule to pad to, and the instructions that
/// may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    line: LineSize,
    granule: LineSize,
    present: u8,
}

impl Facts {
    /// Returns a CPU with lines of this size, which are its write-back granule too, and no maintenance instruction yet.
    #[must_use]
    pub const fn new(line: LineSize) -> Self {
        Self { line, granule: line, present: 0 }
    }

    /// Returns the same CPU with caches that write back units of this size (arm64: `CTR_EL0.CWG`). It is the alignment
    /// and padding of data that must not share a unit with other data. A unit smaller than the line is taken for the
    /// line.
    #[must_use]
    pub const fn with_granule(self, granule: LineSize) -> Self {
        let granule = if granule.bytes() < self.line.bytes() { self.line } else { granule };
        Self { granule, ..self }
    }

    /// Returns the same CPU with `instruction` added.
    #[must_use]
    pub const fn with(self, instruction: Instruction) -> Self {
        Self { present: self.present | instruction.code, ..self }
    }

    /// Returns the same CPU with `instruction` added if `present`.
    #[must_use]
    pub const fn with_if(self, present: bool, instruction: Instruction) -> Self {
        if present { self.with(instruction) } else { self }
    }

    /// Returns true if the CPU has `instruction`.
    #[must_use]
    pub const fn has(self, instruction: Instruction) -> bool {
        self.present & instruction.code != 0
    }

    /// Returns the unit that one instruction works on.
    #[must_use]
    pub const fn line(self) -> LineSize {
        self.line
    }

    /// Returns the largest unit that any cache writes back. Not smaller than the line.
    #[must_use]
    pub const fn granule(self) -> LineSize {
        self.granule
    }

    /// Returns one bit for each instruction that is present, by its code.
    pub(crate) const fn present(self) -> u8 {
        self.present
    }

    /// Returns the facts whose [`present`](Self::present) was kept.
    pub(crate) const fn from_present(line: LineSize, present: u8) -> Self {
        Self { line, granule: line, present }
    }
}
