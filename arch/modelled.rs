//! The back end for loom and Miri, which run no machine instructions.
//!
//! It has one instruction of each kind, with real ordering: its fences are those of the Rust memory model, so code that
//! relies on a write-back's fence for ordering between threads is checked unchanged. It writes nothing back: only a
//! simulator can show that a crash loses data.

use super::{Architecture, DataCache, Fence, Fences, Missing, Sigbus, Unsupported};

pub use instruction::*;

/// The only fence.
pub const FENCE: Fence = Fence(1);

const AROUND: Fences = Fences { before: FENCE, after: FENCE };
const AFTER: Fences = Fences { before: Fence::NONE, after: FENCE };

const NO_DEEPER: Unsupported = Unsupported::new(
    Missing::Point,
    "the modelled back end has no point of deep persistence",
    "aim at persistence",
);

/// The instructions, by the names that users may give.
pub mod instruction {
    use super::super::{Effect, Instruction, Point};
    use super::AFTER;

    /// Every instruction known for this architecture, the preferred write-back first.
    pub const ALL: &[Instruction] = &[WRITEBACK, WRITEBACK_INVALIDATE];

    /// Models a write-back that keeps the line.
    pub const WRITEBACK: Instruction = Instruction {
        name: "modelled writeback",
        code: 1 << 0,
        effect: Effect::Writeback,
        point: Point::Persistence,
        writeback: AFTER,
        requires: "nothing",
        source: "this crate",
    };

    /// Models a write-back that drops the line.
    pub const WRITEBACK_INVALIDATE: Instruction = Instruction {
        name: "modelled writeback_invalidate",
        code: 1 << 1,
        effect: Effect::WritebackInvalidate,
        point: Point::Persistence,
        writeback: AFTER,
        requires: "nothing",
        source: "this crate",
    };
}

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    name: "modelled",
    instructions: ALL,
    fences: &["none", "fence"],
    observed: FENCE,
    invalidate: AROUND,
    unreachable: [NO_DEEPER, NO_DEEPER, NO_DEEPER],
    data_cache: DataCache::unknown("the modelled back end has no caches"),
    whole_cache: None,
    no_whole_cache: Unsupported::new(
        Missing::Operation,
        "the modelled back end has no whole-cache operation",
        "maintain ranges instead",
    ),
    sigbus: Sigbus::Handled,
};
