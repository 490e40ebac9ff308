//! The promises of the CPU that decide which lines a machine loses, as chosen by the plugin's arguments.

use std::collections::BTreeSet;

use crate::decode::Writeback;
use crate::policy::Policy;

/// The half of the address space of an instruction: user mode or kernel under the systems that run on x86-64 and arm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// Addresses whose highest bit is clear.
    Lower,
    /// Addresses whose highest bit is set.
    Upper,
}

impl Half {
    /// Returns the half of the instruction at this address.
    #[must_use]
    pub const fn of(address: u64) -> Self {
        if address >> 63 == 0 { Self::Lower } else { Self::Upper }
    }
}

/// The effect of a streaming (non-temporal) store on its line. Vendors permit both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streaming {
    /// The line is updated where it is cached, and stays dirty, as measured on AMD Zen 5 and as
    /// Intel's optimization manual allows an implementation.
    #[default]
    Ordinary,
    /// The line leaves the caches with its dirty bytes, so a fence completes it (Intel SDM vol. 1, 10.4.6.2).
    Evicting,
}

/// How CLFLUSH is completed, which differs between vendors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clflush {
    /// By itself, in order with stores (Intel SDM vol. 2A, CLFLUSH).
    Itself,
    /// By MFENCE, and not by SFENCE (AMD APM vol. 3, CLFLUSH).
    Mfence,
}

/// The point that a write-back must reach to persist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The point of coherency: DC CVAC suffices, as for RAM that survives a reset.
    Coherency,
    /// The point of persistence: DC CVAP is needed.
    Persistence,
}

/// The promises to one half: what completes write-backs, apart from its fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// The effect of a streaming store.
    pub streaming: Streaming,
    /// True if a locked access is a fence.
    pub is_locked_fence: bool,
}

/// The kinds of events before which a machine can be cut off, or a trial can crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// A store to the memory. It is counted only if stores are followed.
    Store,
    /// A write-back of one of its lines.
    Writeback,
    /// A fence with write-backs of its thread before it.
    Fence,
    /// A system call that changes or persists files, by any program except the first one.
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
    /// The seed of all random choices.
    pub seed: u64,
    /// Which dirty lines a crash keeps.
    pub policy: Policy,
    /// The promises to user mode, then those to the kernel.
    pub promises: [Promises; 2],
    /// How CLFLUSH is completed.
    pub clflush: Clflush,
    /// The point to reach.
    pub point: Point,
    /// True if ordinary stores of user mode are followed too, which takes time. The newest line is then known.
    pub follows_stores: bool,
    /// True if a program watches parts of the memory: what firmware and kernels discard before that is no fault.
    pub is_watched: bool,
    /// True if each line that a crash loses or could lose is reported, with the code that stored to it.
    pub tells_lines: bool,
    /// The lines that a crash loses regardless of the policy.
    pub lost: BTreeSet<u32>,
    /// One in this many followed stores evicts its line; 0 for none.
    pub evict: u64,
    /// The user-mode event before which the power is cut: the kind, and its number, counted from 1.
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
    /// Strict for user mode, where programs must be right on every CPU. The kernel's drivers rely on promises of
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
            is_watched: false,
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

    /// Returns true if the stores of an instruction in this half are followed. Streaming stores always are, because a
    /// write-back may miss them.
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
