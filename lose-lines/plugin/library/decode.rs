//! The common parts of the decoders: the relevant effects of an instruction, and their address.

/// An instruction that writes back one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Writeback {
    /// CLWB.
    Clwb,
    /// CLFLUSHOPT.
    Clflushopt,
    /// CLFLUSH, whose order differs between vendors.
    Clflush,
    /// DC CVAC or DC CIVAC, CBO.CLEAN or CBO.FLUSH, to the point of coherency.
    Coherency,
    /// DC CVAP or DC CVADP, to the point of persistence or beyond.
    Persistence,
}

/// An instruction that completes write-backs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fence {
    /// SFENCE.
    Sfence,
    /// MFENCE.
    Mfence,
    /// DSB SY.
    Dsb,
    /// FENCE, of writes before writes.
    Fence,
}

impl Fence {
    /// Returns true if the fence completes a CLFLUSH on every CPU, and every other write-back.
    #[must_use]
    pub const fn completes_all(self) -> bool {
        !matches!(self, Self::Sfence)
    }
}

/// An instruction with which a program talks to the plugin (`lose-lines/mark`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Starts watching a range.
    Watch,
    /// Asks which lines of the range are dirty or unfenced.
    Left,
    /// Starts a trial on a range.
    Trial,
    /// Names the bytes of a trial that no crash loses.
    Witness,
    /// Chooses the event of a trial before which it crashes, and the seed of its losses.
    CrashAt,
    /// Ends a trial: memory becomes what the crash left.
    Lose,
    /// Names the instruction that has no effect from now on.
    Omit,
}

impl Mark {
    /// Returns the mark of this number.
    #[must_use]
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Watch),
            2 => Some(Self::Left),
            3 => Some(Self::Trial),
            4 => Some(Self::Witness),
            5 => Some(Self::CrashAt),
            6 => Some(Self::Lose),
            7 => Some(Self::Omit),
            _ => None,
        }
    }
}

/// The effect of an instruction, apart from stores, which the emulator reports by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Writes back the line of the address.
    Writeback(Writeback, Address),
    /// Completes every write-back before it.
    Fence(Fence),
    /// Accesses memory under a lock, which completes every write-back before it.
    Locked,
    /// Makes streaming stores.
    Streaming,
    /// Writes back all caches: WBINVD, WBNOINVD.
    WholeCache,
    /// Discards the line of the address without writing it back: DC IVAC, CBO.INVAL.
    Discard(Address),
    /// Maintains caches in a way that no model here covers: INVD, and by set and way.
    Unmodelled,
    /// Makes a system call.
    Call,
    /// Talks to the plugin.
    Mark(Mark),
}

/// A register by its place in [`Decoder::registers`].
pub type Register = u8;

/// An address as encoded in an instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// The segment's base, added last at any width.
    pub segment: Option<Register>,
    /// The base, added.
    pub base: Option<Register>,
    /// The index, added after shifting left by `shift`.
    pub index: Option<Register>,
    /// The scale of the index.
    pub shift: u8,
    /// The displacement, added: negative in two's complement, or the whole address.
    pub displacement: u64,
    /// True if the address is computed in 32 bits.
    pub is_narrow: bool,
}

impl Address {
    /// Returns the address in a register.
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

/// The place of the return address in a function that has not saved it elsewhere, like most that copy memory.
#[derive(Clone, Copy, Debug)]
pub enum Return {
    /// The memory that this register points to.
    At(Register),
    /// This register.
    In(Register),
}

/// Linux, `include/uapi/asm-generic/unistd.h`: calls that write, persist, name or remove files, or change their length.
pub const CHANGING: &[u64] = &[
    2, 34, 35, 36, 37, 38, 45, 46, 47, 64, 66, 68, 70, 71, 76, 81, 82, 83, 84, 227, 267, 276, 285,
    287, 426,
];

/// One architecture.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// The emulator's names of the registers.
    pub registers: &'static [&'static str],
    /// The registers with the arguments of a mark.
    pub arguments: [Register; 2],
    /// The register that distinguishes the threads of user mode.
    pub thread: Register,
    /// The return address.
    pub return_address: Return,
    /// The register with the number of a call of the system.
    pub call: Register,
    /// The numbers of the calls that change or persist files.
    pub changing: &'static [u64],
    /// Returns the effect of the instruction of these bytes, at this address.
    pub decode: fn(&[u8], u64) -> Option<Action>,
}

#[cfg(test)]
mod tests {
    use super::Address;

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
}
