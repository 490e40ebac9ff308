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
    /// A CPU with lines of this size, which are its write-back granule too, and no maintenance
    /// instruction yet.
    #[must_use]
    pub const fn new(line: LineSize) -> Self {
        Self { line, granule: line, present: 0 }
    }

    /// The same CPU, whose caches write back units of this size (arm64: `CTR_EL0.CWG`): what to pad and
    /// align data to that must share nothing with other data. A unit smaller than the line is taken for
    /// the line.
    #[must_use]
    pub const fn with_granule(self, granule: LineSize) -> Self {
        let granule = if granule.bytes() < self.line.bytes() { self.line } else { granule };
        Self { granule, ..self }
    }

    /// The same CPU, which also has `instruction`.
    #[must_use]
    pub const fn with(self, instruction: Instruction) -> Self {
        Self { present: self.present | instruction.code, ..self }
    }

    /// The same CPU, which has `instruction` if `present`.
    #[must_use]
    pub const fn with_if(self, present: bool, instruction: Instruction) -> Self {
        if present { self.with(instruction) } else { self }
    }

    /// Returns true if the CPU has `instruction`.
    #[must_use]
    pub const fn has(self, instruction: Instruction) -> bool {
        self.present & instruction.code != 0
    }

    /// The unit that one instruction works on.
    #[must_use]
    pub const fn line(self) -> LineSize {
        self.line
    }

    /// The largest unit that any cache writes back. Not smaller than the line.
    #[must_use]
    pub const fn granule(self) -> LineSize {
        self.granule
    }

    /// One bit for each instruction that is present, by its code.
    pub(crate) const fn present(self) -> u8 {
        self.present
    }

    /// The facts whose [`present`](Self::present) was kept.
    pub(crate) const fn from_present(line: LineSize, present: u8) -> Self {
        Self { line, granule: line, present }
    }
}
