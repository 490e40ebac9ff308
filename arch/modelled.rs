//! The back end for loom and Miri, which run no machine instructions.
//!
//! It has one instruction of each kind and real ordering: its fences are those of the Rust memory
//! model, so that code which relies on a write-back's fence for ordering between threads is checked
//! as it stands. It writes nothing back: whether a crash loses data is for a simulator to say.

use super::{
    Architecture, DataCache, Effect, Fence, Fences, Instruction, Missing, Point, Unsupported,
};

/// The names that users may give.
#[cfg(any(loom, miri))]
pub mod instruction {
    pub use super::{WRITEBACK, WRITEBACK_INVALIDATE};

    /// Every instruction known for this architecture, the preferred write-back first.
    pub const ALL: &[super::Instruction] = super::ARCHITECTURE.instructions;
}

/// The one fence.
pub const FENCE: Fence = Fence(1);

const AROUND: Fences = Fences { before: FENCE, after: FENCE };
const AFTER: Fences = Fences { before: Fence::NONE, after: FENCE };

/// Stands for a write-back that keeps the line.
pub const WRITEBACK: Instruction = Instruction {
    name: "modelled writeback",
    code: 1 << 0,
    effect: Effect::Writeback,
    point: Point::Persistence,
    writeback: AFTER,
    invalidate: AROUND,
    requires: "nothing",
    source: "this crate",
};

/// Stands for a write-back that drops the line.
pub const WRITEBACK_INVALIDATE: Instruction = Instruction {
    name: "modelled writeback_invalidate",
    code: 1 << 1,
    effect: Effect::WritebackInvalidate,
    point: Point::Persistence,
    writeback: AFTER,
    invalidate: AROUND,
    requires: "nothing",
    source: "this crate",
};

const NO_DEEPER: Unsupported = Unsupported::new(
    Missing::Point,
    "the modelled back end has no point of deep persistence",
    "aim at persistence",
);

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    name: "modelled",
    instructions: &[WRITEBACK, WRITEBACK_INVALIDATE],
    fences: &["none", "fence"],
    observed: FENCE,
    unreachable: [NO_DEEPER, NO_DEEPER, NO_DEEPER],
    data_cache: DataCache::unknown("the modelled back end has no caches"),
    discard: Err(Unsupported::new(
        Missing::Operation,
        "the modelled back end has no operation that discards",
        "use invalidate, and have no dirty line in the range",
    )),
    whole_cache: None,
    no_whole_cache: Unsupported::new(
        Missing::Operation,
        "the modelled back end has no whole-cache operation",
        "maintain ranges instead",
    ),
};

/// The instructions.
#[cfg(any(loom, miri))]
#[expect(unsafe_code, reason = "the signature is that of the back ends that have instructions")]
pub mod ops {
    use super::super::{Fence, Instruction};
    use super::{WRITEBACK, WRITEBACK_INVALIDATE};
    #[cfg(not(loom))]
    use core::sync::atomic;
    #[cfg(loom)]
    use loom::sync::atomic;

    /// Calls `then` with the instruction of this code.
    #[inline(always)]
    pub fn select<R>(code: u8, then: impl FnOnce(Instruction) -> R) -> R {
        then(if code & WRITEBACK.code != 0 { WRITEBACK } else { WRITEBACK_INVALIDATE })
    }

    /// Executes nothing.
    ///
    /// # Safety
    /// None needed; the real back ends need some.
    #[inline(always)]
    pub unsafe fn execute(_: Instruction, _: usize) {}

    /// A sequentially consistent fence of the Rust memory model.
    #[inline(always)]
    pub fn fence(fence: Fence) {
        if fence == super::FENCE {
            atomic::fence(atomic::Ordering::SeqCst);
        }
    }
}
