//! New values for the fields of a format.

use arbitrary::Arbitrary;

/// A change to a number.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Value {
    Add(i8),
    /// Multiples of 8.
    Words(i8),
    /// Multiples of the format's unit: a segment, a sub-buffer, or a unit of a store.
    Units(i8),
    Bit(u8),
    Set(u16),
    /// The largest number minus this one.
    Most(u8),
}

impl Value {
    pub(crate) fn of(self, old: u64, unit: u64) -> u64 {
        let times = |count: i8, bytes: u64| {
            old.wrapping_add_signed((bytes as i64).wrapping_mul(count.into()))
        };
        match self {
            Self::Add(count) => times(count, 1),
            Self::Words(count) => times(count, 8),
            Self::Units(count) => times(count, unit),
            Self::Bit(bit) => old ^ 1 << (bit % 64),
            Self::Set(number) => number.into(),
            Self::Most(less) => u64::MAX - u64::from(less),
        }
    }
}

/// The words missing at the end of a medium: none for half of all numbers.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Missing(u16);

impl Missing {
    /// Returns the number of bytes left of a medium.
    pub(crate) fn left(self, bytes: usize) -> usize {
        bytes - usize::from(self.0.saturating_sub(1 << 15)) * 8 % (bytes + 8)
    }
}

/// The length of a forged record.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Length {
    Bytes(u8),
    /// All bytes to the end, less some words.
    Rest(u8),
    Any(u32),
}

impl Length {
    /// Returns a length if `rest` bytes are left.
    pub(crate) fn of(self, rest: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.into(),
            Self::Rest(words) => rest.saturating_sub(8 * u64::from(words)),
            Self::Any(bytes) => bytes.into(),
        }
    }
}
