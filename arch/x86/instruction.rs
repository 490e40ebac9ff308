//! The instructions, by the names that users may give.

use super::super::{Effect, Instruction, Point};
use super::{MFENCE_AROUND, SFENCE_AFTER};

/// Every instruction known for this architecture, the preferred write-back first.
pub const ALL: &[Instruction] = &[CLWB, CLFLUSHOPT, CLFLUSH_ORDERED, CLFLUSH];

/// Writes the line back; the CPU may keep the line, but none promises to.
pub const CLWB: Instruction = Instruction {
    name: "clwb",
    code: 1 << 0,
    effect: Effect::Writeback,
    point: Point::Persistence,
    writeback: SFENCE_AFTER,
    requires: "CPUID.7.0:EBX[24]",
    source: "Intel SDM vol. 2A, CLWB; AMD APM vol. 3, CLWB",
};

/// Writes the line back and drops it, weakly ordered.
pub const CLFLUSHOPT: Instruction = Instruction {
    name: "clflushopt",
    code: 1 << 1,
    effect: Effect::WritebackInvalidate,
    point: Point::Persistence,
    writeback: SFENCE_AFTER,
    requires: "CPUID.7.0:EBX[23]",
    source: "Intel SDM vol. 2A, CLFLUSHOPT; AMD APM vol. 3, CLFLUSHOPT",
};

/// Writes the line back and drops it, ordered with stores and with SFENCE: Intel's CLFLUSH (`GenuineIntel`).
///
/// Intel's older manuals ordered it only by MFENCE; the current one says that all Intel processors with CLFLUSH order
/// it as listed.
pub const CLFLUSH_ORDERED: Instruction = Instruction {
    name: "clflush",
    code: 1 << 2,
    effect: Effect::WritebackInvalidate,
    point: Point::Persistence,
    writeback: SFENCE_AFTER,
    requires: "CPUID.1:EDX[19]",
    source: "Intel SDM vol. 2A, CLFLUSH",
};

/// Writes the line back and drops it, ordered only by MFENCE: the CLFLUSH of every other vendor.
pub const CLFLUSH: Instruction = Instruction {
    name: "clflush",
    code: 1 << 3,
    effect: Effect::WritebackInvalidate,
    point: Point::Persistence,
    writeback: MFENCE_AROUND,
    requires: "CPUID.1:EDX[19]",
    source: "AMD APM vol. 3, CLFLUSH",
};
