//! The instructions, by the names that users may give.

use super::super::{Effect, Instruction, Point};
use super::DSB_AFTER;

/// Every instruction known for this architecture, the preferred write-back first.
// The nearest point first: the first instruction that reaches a point is the right one.
pub const ALL: &[Instruction] = &[DC_CVAC, DC_CVAP, DC_CVADP, DC_CIVAC];

/// Cleans the line to the point of coherency.
pub const DC_CVAC: Instruction = Instruction {
    name: "dc cvac",
    code: 1 << 0,
    effect: Effect::Writeback,
    point: Point::Coherency,
    writeback: DSB_AFTER,
    requires: "ARMv8.0",
    source: "Arm ARM (DDI 0487), DC CVAC",
};

/// Cleans the line to the point of persistence.
pub const DC_CVAP: Instruction = Instruction {
    name: "dc cvap",
    code: 1 << 1,
    effect: Effect::Writeback,
    point: Point::Persistence,
    writeback: DSB_AFTER,
    requires: "FEAT_DPB",
    source: "Arm ARM (DDI 0487), DC CVAP",
};

/// Cleans the line to the point of deep persistence.
pub const DC_CVADP: Instruction = Instruction {
    name: "dc cvadp",
    code: 1 << 2,
    effect: Effect::Writeback,
    point: Point::DeepPersistence,
    writeback: DSB_AFTER,
    requires: "FEAT_DPB2",
    source: "Arm ARM (DDI 0487), DC CVADP",
};

/// Cleans and invalidates the line to the point of coherency.
pub const DC_CIVAC: Instruction = Instruction {
    name: "dc civac",
    code: 1 << 3,
    effect: Effect::WritebackInvalidate,
    point: Point::Coherency,
    writeback: DSB_AFTER,
    requires: "ARMv8.0",
    source: "Arm ARM (DDI 0487), DC CIVAC",
};
