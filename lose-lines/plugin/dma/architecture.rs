//! What the model asks of an architecture.

use super::aarch64::AARCH64;
use super::arm::ARM;
use super::model::Maintenance;
use super::riscv64::RISCV64;
use crate::decode::Address;

/// The effect of an instruction, beside loads and stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Maintains one line.
    Line(Maintenance, Address),
    /// Maintains by set and way.
    All(Maintenance),
    /// Completes maintenance for all observers, before a store to a device.
    Fence,
    /// Completes it for all CPUs, so that the fence of any completes it for all observers. Linux executes one when a CPU
    /// takes another thread, which may have been between an operation and its fence (`__switch_to`).
    FenceOfCpus,
    /// Zeroes a block.
    Zero(Address),
    /// Changes or invalidates translations.
    Translation,
    /// Stores in a way that the emulator does not show: SVE and MOPS.
    Streaming,
}

pub(super) const CLEAN: Maintenance = Maintenance { writes_back: true, drops: false };
pub(super) const INVALIDATE: Maintenance = Maintenance { writes_back: false, drops: true };
pub(super) const BOTH: Maintenance = Maintenance { writes_back: true, drops: true };

/// Reads a register of the running CPU by the emulator's name.
pub type Read<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// Reads a word of physical memory.
pub type Word<'a> = &'a dyn Fn(u64) -> Option<u64>;

/// The kind of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// True for normal memory that is outer cacheable.
    pub is_cacheable: bool,
    /// The bits of a descriptor that page walks may store to.
    pub set_by_walks: u64,
}

/// The facts of one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// The name in reports.
    pub name: &'static str,
    /// The names of the registers with addresses.
    pub registers: &'static [&'static str],
    /// The register with the address to return to.
    pub link: &'static str,
    /// The registers without which nothing can be said. They also tell the architecture.
    pub required: &'static [&'static str],
    /// True if an invalidation is complete for later loads of its CPU without a fence.
    pub drops_in_order: bool,
    /// Returns the effect of the instruction of these bytes.
    pub effect: fn(&[u8]) -> Option<Effect>,
    /// Returns the privilege of the running CPU, as far as translation depends on it; at most 3.
    pub level: fn(Read<'_>) -> u8,
    /// Returns the mapping of an address at a level.
    pub mapped: fn(Read<'_>, u8, u64, Word<'_>) -> Mapped,
    /// Returns the length of the block that one instruction zeroes.
    pub zeroed: fn(Read<'_>) -> u64,
}

impl Architecture {
    pub(super) const ALL: [Self; 3] = [AARCH64, ARM, RISCV64];

    /// Returns the architecture of a CPU with these registers.
    pub fn of(has: impl Fn(&str) -> bool) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.required.iter().all(|name| has(name)))
    }
}
