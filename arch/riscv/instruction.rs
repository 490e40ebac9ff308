//! The instructions, by the names that users may give.

use super::super::{Effect, Instruction, Point};
use super::FENCE_AFTER;

/// Every instruction known for this architecture, the preferred write-back first.
pub const ALL: &[Instruction] = &[CBO_CLEAN, CBO_FLUSH];

/// Writes the block back; it may stay cached.
pub const CBO_CLEAN: Instruction = Instruction {
    name: "cbo.clean",
    code: 1 << 0,
    effect: Effect::Writeback,
    point: Point::Coherency,
    writeback: FENCE_AFTER,
    requires: "Zicbom",
    source: "RISC-V ISA manual, cmo.adoc, cbo.clean",
};

/// Writes the block back and drops it.
pub const CBO_FLUSH: Instruction = Instruction {
    name: "cbo.flush",
    code: 1 << 1,
    effect: Effect::WritebackInvalidate,
    point: Point::Coherency,
    writeback: FENCE_AFTER,
    requires: "Zicbom",
    source: "RISC-V ISA manual, cmo.adoc, cbo.flush",
};
