//! The instructions, by the names that users may give.

use super::super::{Effect, Instruction, Point};
use super::{PHWSYNC_AFTER, SYNC_AFTER};

/// Every instruction known for this architecture, the preferred write-back first.
// The nearest point first: the first instruction that reaches the point is the right one.
pub const ALL: &[Instruction] = &[DCBST, DCBF, DCBF_PERSISTENT, DCBSTPS, DCBFPS];

/// Writes the block back; it may stay cached.
pub const DCBST: Instruction = Instruction {
    name: "dcbst",
    code: 1 << 0,
    effect: Effect::Writeback,
    point: Point::Coherency,
    writeback: SYNC_AFTER,
    requires: "PowerPC",
    source: "Power ISA 3.1 Book II, dcbst",
};

/// Writes the block back and drops it.
pub const DCBF: Instruction = Instruction {
    name: "dcbf",
    code: 1 << 1,
    effect: Effect::WritebackInvalidate,
    point: Point::Coherency,
    writeback: SYNC_AFTER,
    requires: "PowerPC",
    source: "Power ISA 3.1 Book II, dcbf (L=0)",
};

/// Writes the block back to persistent storage and drops it: `dcbf` on CPUs with ISA 2.07 and 3.0.
pub const DCBF_PERSISTENT: Instruction = Instruction {
    name: "dcbf",
    code: 1 << 2,
    effect: Effect::WritebackInvalidate,
    point: Point::Persistence,
    writeback: SYNC_AFTER,
    requires: "PowerPC",
    source: "Power ISA 3.0 Book II, dcbf; Linux arch/powerpc/lib/pmem.c before dcbstps",
};

/// Writes the block back to persistent storage.
pub const DCBSTPS: Instruction = Instruction {
    name: "dcbstps",
    code: 1 << 3,
    effect: Effect::Writeback,
    point: Point::Persistence,
    writeback: PHWSYNC_AFTER,
    requires: "ISA 3.1",
    source: "Power ISA 3.1 Book II, dcbf (L=6); Linux arch/powerpc/lib/pmem.c",
};

/// Writes the block back to persistent storage and drops it.
pub const DCBFPS: Instruction = Instruction {
    name: "dcbfps",
    code: 1 << 4,
    effect: Effect::WritebackInvalidate,
    point: Point::Persistence,
    writeback: PHWSYNC_AFTER,
    requires: "ISA 3.1",
    source: "Power ISA 3.1 Book II, dcbf (L=4); Linux arch/powerpc/lib/pmem.c",
};
