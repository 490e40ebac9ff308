//! The operations of an architecture on its caches, as data.

use super::{Fences, Point};

/// The effect of an instruction on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Copies a dirty line to the point; the line may stay cached.
    Writeback,
    /// Copies a dirty line to the point and drops it.
    WritebackInvalidate,
}

/// One maintenance instruction: its effect, its requirements, its fences, and the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instruction {
    /// The mnemonic in lower case, as an assembler takes it.
    pub name: &'static str,
    /// The code, a single bit: `1 <<` the place in [`Architecture::instructions`](super::Architecture::instructions).
    pub(crate) code: u8,
    /// The effect on the line.
    pub effect: Effect,
    /// The farthest point it reaches.
    pub point: Point,
    /// The fences when it is used to write back.
    pub(crate) writeback: Fences,
    /// The feature bit that reports it.
    pub requires: &'static str,
    /// The specification of its effect and its ordering.
    pub source: &'static str,
}

/// The operation on the whole cache of the CPU that executes it; only for privileged code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WholeCacheOperation {
    /// The mnemonic, in lower case, of the instruction that writes all lines back and drops them.
    pub writeback_invalidate: &'static str,
    /// The specification.
    pub source: &'static str,
}
