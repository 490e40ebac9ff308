//! The common parts of the decoders: the relevant effects of an instruction, and their address.

use crate::{aarch64, x86_64};

/// The effect of an instruction, besides stores, which the emulator reports by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Writes back the line of the address.
    Writeback(Address),
    /// Completes every write-back before it.
    Fence,
    /// Accesses memory under lock, which completes every write-back before it.
    Locked,
    /// Its stores are streaming ones.
    Streaming,
    /// Zeroes a block of memory; the emulator does not report the store.
    Zero(Address),
    /// The mark that begins to watch.
    Watch,
    /// The mark that asks for a verdict.
    Verdict,
}

/// A register by its place in [`Decoder::registers`].
pub type Register = u8;

/// An address as an instruction encodes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// The segment's base, added at the end at any width.
    pub segment: Option<Register>,
    /// The base, added.
    pub base: Option<Register>,
    /// The index, added after it was shifted left by `shift`.
    pub index: Option<Register>,
    /// The scale of the index.
    pub shift: u8,
    /// The displacement, added: negative in two's complement, or the whole address.
    pub displacement: u64,
    /// True if the address is computed in 32 bits.
    pub is_narrow: bool,
}

impl Address {
    /// Returns the address that a register holds.
    #[must_use]
    pub fn of(base: Register) -> Self {
        Self { base: Some(base), ..Self::default() }
    }

    /// Returns the address, from the registers that `read` returns; `None` if one cannot be read.
    pub fn resolve(&self, mut read: impl FnMut(Register) -> Option<u64>) -> Option<u64> {
        let mut value = |register: Option<Register>| register.map_or(Some(0), &mut read);
        let (segment, base, index) = (value(self.segment)?, value(self.base)?, value(self.index)?);
        let sum = self.displacement.wrapping_add(base).wrapping_add(index << self.shift);
        let offset = if self.is_narrow { sum & u64::from(u32::MAX) } else { sum };
        Some(offset.wrapping_add(segment))
    }
}

/// One architecture.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// The emulator's names of the registers.
    pub registers: &'static [&'static str],
    /// The registers with the arguments of a mark.
    pub arguments: [Register; 2],
    /// Returns the effect of the instruction of these bytes, at this address.
    pub decode: fn(&[u8], u64) -> Option<Action>,
}

impl Decoder {
    /// Returns the decoder for the emulator's name of its target.
    #[must_use]
    pub fn of(target: &str) -> Option<Self> {
        match target {
            "x86_64" => Some(x86_64::DECODER),
            "aarch64" => Some(aarch64::DECODER),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Decoder};

    fn read(register: u8) -> Option<u64> {
        [Some(0x1000), Some(u64::MAX), Some(0x7000_0000_0000), None][usize::from(register)]
    }

    #[test]
    fn an_address_is_the_sum_of_its_parts() {
        assert_eq!(Address::of(0).resolve(read), Some(0x1000));
        let whole = Address {
            segment: Some(2),
            base: Some(0),
            index: Some(0),
            shift: 3,
            displacement: 0x40_u64.wrapping_neg(),
            is_narrow: false,
        };
        assert_eq!(whole.resolve(read), Some(0x7000_0000_0000 + 0x1000 + 0x8000 - 0x40));
        assert_eq!(Address { displacement: 5, ..Address::default() }.resolve(read), Some(5));
        assert_eq!(Address::of(3).resolve(read), None);
    }

    #[test]
    fn a_narrow_address_wraps_before_the_segment_is_added() {
        let address = Address { index: Some(1), is_narrow: true, ..Address::of(0) };
        assert_eq!(address.resolve(read), Some(0xfff));
        let high = Address { segment: Some(2), is_narrow: true, ..Address::of(1) };
        assert_eq!(high.resolve(read), Some(0x7000_ffff_ffff));
    }

    #[test]
    fn other_targets_have_no_decoder() {
        assert!(Decoder::of("x86_64").is_some() && Decoder::of("aarch64").is_some());
        assert!(Decoder::of("i386").is_none());
    }
}
