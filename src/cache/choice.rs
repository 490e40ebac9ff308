//! The choice of a [`Cache`](super::Cache): its instruction and its fences.

use crate::arch::{Architecture, Fence, Fences, Instruction};

/// The instruction for an operation, and the fences before the first and after the last line of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The instruction, executed on each line.
    pub instruction: Instruction,
    /// The fence before the first line, if one is needed.
    pub before: Option<&'static str>,
    /// The fence after the last line, which completes the operation.
    pub after: &'static str,
}

impl Choice {
    pub(crate) const fn of(
        architecture: &Architecture,
        instruction: Instruction,
        fences: Fences,
    ) -> Self {
        let names = architecture.fences;
        let before = match fences.before {
            Fence::NONE => None,
            Fence(place) => Some(names[place as usize]),
        };
        Self { instruction, before, after: names[fences.after.0 as usize] }
    }
}

/// `clwb each line, then sfence`.
impl core::fmt::Display for Choice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if let Some(before) = self.before {
            write!(f, "{before}, then ")?;
        }
        write!(f, "{} each line, then {}", self.instruction.name, self.after)
    }
}
