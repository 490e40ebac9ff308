//! The promises of the CPU that a machine loses lines by, as arguments of the plugin choose them.

use std::collections::BTreeSet;

use super::fates::Policy;
use crate::decode::Writeback;
use crate::lines::{Clflush, Streaming};
use crate::tracker::Half;

/// The point that a write-back must reach to persist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The point of coherency: DC CVAC suffices, as for RAM that survives a reset.
    Coherency,
    /// The point of persistence: DC CVAP is needed.
    Persistence,
}

/// The promises of one half: what completes write-backs besides its fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// The effect of a streaming store.
    pub streaming: Streaming,
    /// True if a locked access is a fence.
    pub is_locked_fence: bool,
}

/// The kinds of events before which a machine can be cut off, and a trial can crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// A store to the memory. It is only counted if stores are followed.
    Store,
    /// A write-back of one of its lines.
    Writeback,
    /// A fence with write-backs of its thread before it.
    Fence,
    /// A call of the system that changes or persists files, of any program but the first one.
    Call,
}

impl Event {
    /// Returns the kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "store" => Some(Self::Store),
            "writeback" => Some(Self::Writeback),
            "fence" => Some(Self::Fence),
            "call" => Some(Self::Call),
            _ => None,
        }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Writeback => "writeback",
            Self::Fence => "fence",
            Self::Call => "call",
        }
    }
}

/// The model of a machine that loses lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The seed of every chance.
    pub seed: u64,
    /// The dirty lines that a crash keeps.
    pub policy: Policy,
    /// The promises to user mode, then those to the kernel.
    pub promises: [Promises; 2],
    /// The completion of CLFLUSH.
    pub clflush: Clflush,
    /// The point to reach.
    pub point: Point,
    /// True if ordinary stores of user mode are followed too, which takes time: then the newest line is known.
    pub follows_stores: bool,
    /// True if each line that a crash takes or could take is told, with the code that has stored to it.
    pub tells_lines: bool,
    /// The lines that a crash takes whatever the policy.
    pub lost: BTreeSet<u32>,
    /// One in so many followed stores evicts its line; 0 for none.
    pub evict: u64,
    /// The event of user mode before which the power is cut: the kind, and its number from 1.
    pub cut: Option<(Event, u64)>,
}

/// The effect of a write-back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The line does not reach the point.
    Nothing,
    /// The line has persisted.
    AtOnce,
    /// A fence completes it; the flag is true if SFENCE is not enough.
    Pending {
        /// True if only MFENCE completes it.
        needs_mfence: bool,
    },
}

impl Default for Model {
    /// Strict for user mode, where programs must be right on every CPU. The kernel's drivers rely on the promises of
    /// Intel's manual: streaming stores evict, and a locked access is a fence.
    fn default() -> Self {
        let user = Promises { streaming: Streaming::Ordinary, is_locked_fence: false };
        let kernel = Promises { streaming: Streaming::Evicting, is_locked_fence: true };
        Self {
            seed: 0,
            policy: Policy::Half,
            promises: [user, kernel],
            clflush: Clflush::Mfence,
            point: Point::Persistence,
            follows_stores: false,
            tells_lines: false,
            lost: BTreeSet::new(),
            evict: 0,
            cut: None,
        }
    }
}

impl Model {
    /// Returns the promises to one half.
    #[must_use]
    pub const fn promises(&self, half: Half) -> Promises {
        match half {
            Half::Lower => self.promises[0],
            Half::Upper => self.promises[1],
        }
    }

    /// Returns true if the stores of an instruction in this half are followed. Streaming ones always are: a write-back
    /// need not have them.
    #[must_use]
    pub const fn follows(&self, is_streaming: bool, half: Half) -> bool {
        is_streaming || self.follows_stores && matches!(half, Half::Lower)
    }

    /// Returns the effect of an instruction that writes back one line.
    #[must_use]
    pub fn effect(&self, by: Writeback) -> Effect {
        let needs_mfence = match by {
            Writeback::Clflush if self.clflush == Clflush::Itself => return Effect::AtOnce,
            Writeback::Coherency if self.point == Point::Persistence => return Effect::Nothing,
            Writeback::Clflush => true,
            _ => false,
        };
        Effect::Pending { needs_mfence }
    }
}
