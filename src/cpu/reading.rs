//! Conclusions shared by the readers of all CPUs.

use crate::arch::{Instruction, LineSize, Missing, Unsupported};

/// Returns the bits of the instructions that are present.
pub(super) fn shown<const N: usize>(instructions: [(bool, Instruction); N]) -> u8 {
    let present = instructions.iter().filter(|(present, _)| *present);
    present.fold(0, |codes, (_, instruction)| codes | instruction.code)
}

/// Returns the number if it can be a line size, else a refusal that names it.
pub(super) fn line_size(bytes: usize) -> Result<usize, Unsupported> {
    LineSize::new(bytes).map(LineSize::bytes).ok_or(Unsupported::new(
        Missing::LineSize(u32::try_from(bytes).unwrap_or(u32::MAX)),
        "the CPU reports an impossible cache line size",
        "describe the CPU with Cache::from_facts if its line size is known",
    ))
}
