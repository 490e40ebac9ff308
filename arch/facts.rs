//! The facts of one CPU that a choice is made from.

use super::{Instruction, LineSize};

/// The facts about a CPU: its line size, the granule to pad to, and the instructions that may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    line: LineSize,
    granule: LineSize,
    present: u8,
}

impl Facts {
    /// Returns a CPU with this line size in bytes, the same write-back granule, and no maintenance instruction yet;
    /// `None` if that is not a power of two from 16 to 2048. No CPU with maintenance by address has smaller lines, and
    /// a size that is too large would skip lines.
    #[must_use]
    pub const fn new(line_size: usize) -> Option<Self> {
        match LineSize::new(line_size) {
            Some(line) => Some(Self::from_present(line, 0)),
            None => None,
        }
    }

    /// Returns the same CPU with caches that write back units of this size in bytes (arm64: `CTR_EL0.CWG`); `None` if
    /// that is not a power of two from 16 to 2048. Data that must not share a unit with other data are aligned and
    /// padded to it. A unit smaller than the line counts as the line.
    #[must_use]
    pub const fn with_granule(self, granule: usize) -> Option<Self> {
        match LineSize::new(granule) {
            Some(granule) => Some(self.padded_to(granule)),
            None => None,
        }
    }

    /// Returns the same CPU with `instruction` added.
    #[must_use]
    pub const fn with(self, instruction: Instruction) -> Self {
        Self { present: self.present | instruction.code, ..self }
    }

    /// Returns true if the CPU has `instruction`.
    #[must_use]
    pub const fn has(self, instruction: Instruction) -> bool {
        self.present & instruction.code != 0
    }

    /// Returns the unit that one instruction works on, in bytes.
    #[must_use]
    pub const fn line_size(self) -> usize {
        self.line.bytes()
    }

    /// Returns the largest unit that any cache writes back, in bytes. Not smaller than the line.
    #[must_use]
    pub const fn granule(self) -> usize {
        self.granule.bytes()
    }

    /// Returns the two units.
    pub(crate) const fn units(self) -> (LineSize, LineSize) {
        (self.line, self.granule)
    }

    /// Returns the same CPU with a granule that is already checked.
    pub(crate) const fn padded_to(self, granule: LineSize) -> Self {
        let granule = if granule.bytes() < self.line.bytes() { self.line } else { granule };
        Self { granule, ..self }
    }

    /// Returns one bit for each instruction that is present, by its code.
    pub(crate) const fn present(self) -> u8 {
        self.present
    }

    /// Returns the facts for a kept value of [`present`](Self::present).
    pub(crate) const fn from_present(line: LineSize, present: u8) -> Self {
        Self { line, granule: line, present }
    }
}
