//! Damage that a crash may leave on bytes that were sure to survive.
//!
//! Damage is a choice like the others, the first one after a crash: none, or one kind at one place that holds
//! something. Places that were never stored to hold nothing.

use super::image::Layer;
use crate::machine::model::WORD;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// No byte of an aligned block of this size can be read any more. Stores do not repair it.
    BadBlock {
        /// The size of a block in bytes: a power of two, at least 8.
        bytes: u64,
    },
    /// An aligned sector of this size with pending stores has the content from before it was last made persistent.
    LostSector {
        /// The size of a sector in bytes: a power of two, at least the line size.
        bytes: u64,
    },
    /// One bit of a word is flipped.
    FlippedWord,
}

/// The damage that a crash has left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The kind of damage.
    pub kind: DamageKind,
    /// The damaged bytes.
    pub range: Range<u64>,
}

impl Damage {
    pub(crate) const fn is_in(&self, range: &Range<u64>) -> bool {
        self.range.start < range.end && range.start < self.range.end
    }

    /// Returns the bits of a word that are flipped.
    pub(crate) fn flipped(&self, at: u64) -> u64 {
        let is_here = self.kind == DamageKind::FlippedWord && self.range.start == at;
        // Each word has a different bit: the upper six bits of a product with the golden ratio.
        let bit = (at / WORD).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        u64::from(is_here) << bit
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, range } = self;
        let name = match kind {
            DamageKind::BadBlock { .. } => "bad block",
            DamageKind::LostSector { .. } => "lost sector",
            DamageKind::FlippedWord => "flipped word",
        };
        write!(f, "{name} {:#x}..{:#x}", range.start, range.end)
    }
}

/// The error of reading bytes in a bad block.
#[derive(Clone, PartialEq, Eq)]
pub struct BadBlock {
    /// The bytes of the block.
    pub range: Range<u64>,
}

impl fmt::Display for BadBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {:#x}..{:#x} cannot be read: bad block", self.range.start, self.range.end)
    }
}

cachemaint::debug_is_display!(BadBlock);

impl core::error::Error for BadBlock {}

/// The kinds of damage that crashes may leave, and the words that held something before the first crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exposure {
    pub(crate) kinds: Vec<DamageKind>,
    pub(crate) held: BTreeSet<u64>,
}

impl Exposure {
    /// Returns each damage that the last of these crashes may have left on a medium of `bytes` bytes.
    pub(crate) fn damages(&self, layers: &[Layer], bytes: u64) -> Vec<Damage> {
        let Some(last) = layers.last().filter(|_| !self.kinds.is_empty()) else {
            return Vec::new();
        };
        let stored = layers.iter().flat_map(Layer::stored);
        let held: BTreeSet<u64> = stored.chain(self.held.iter().copied()).collect();
        let of_kind = |kind: &DamageKind| {
            let (size, starts) = match *kind {
                DamageKind::FlippedWord => (WORD, held.clone()),
                DamageKind::BadBlock { bytes } => (bytes, blocks(held.iter().copied(), bytes)),
                DamageKind::LostSector { bytes } => (bytes, last.torn_sectors(bytes)),
            };
            let kind = *kind;
            starts.into_iter().map(move |at| Damage { kind, range: at..bytes.min(at + size) })
        };
        self.kinds.iter().flat_map(of_kind).collect()
    }
}

/// Returns the starts of the blocks of this size that contain one of these places.
pub(super) fn blocks(places: impl Iterator<Item = u64>, bytes: u64) -> BTreeSet<u64> {
    places.map(|at| at & !(bytes - 1)).collect()
}
