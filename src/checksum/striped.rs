//! The checksum of 64 KiB in three stretches at once: an instruction takes three cycles, and a CPU can begin one in
//! each. So it goes on beside a copy, group by group, and the three are put together at the end.

use super::Instruction;

/// Bytes that it is of.
pub(crate) const BYTES: usize = 1 << 16;
/// Bytes of each stretch that are taken at a time.
pub(crate) const GROUP: usize = 256;
/// Groups of a stretch; one more follows the third.
pub(crate) const GROUPS: usize = BYTES / GROUP / 3;
/// Bytes of a stretch.
pub(crate) const STRETCH: usize = GROUPS * GROUP;

const _: () = assert!(3 * STRETCH + GROUP == BYTES);

/// x^(8 * STRETCH) modulo the polynomial, reflected: what a checksum is multiplied by when a stretch follows.
const SHIFT: u32 = power_of_x(8 * STRETCH as u64);
/// The polynomial of Castagnoli, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum under way.
#[derive(Clone, Copy)]
pub(crate) struct Striped {
    instruction: Instruction,
    chains: [u64; 3],
}

impl Striped {
    /// `None` if the CPU has no instruction for it.
    #[inline]
    pub(crate) fn of_this_cpu() -> Option<Self> {
        // All but the first go on from nothing.
        let chains = [u64::from(!0_u32), 0, 0];
        Instruction::of_this_cpu().map(|instruction| Self { instruction, chains })
    }

    /// Takes a group of each stretch, of words that `load` loads from an offset in bytes.
    #[inline(always)]
    pub(crate) fn add(&mut self, group: usize, load: impl Fn(usize) -> u64) {
        let mut chains = self.chains;
        for at in (group * GROUP..(group + 1) * GROUP).step_by(8) {
            for (stretch, chain) in chains.iter_mut().enumerate() {
                *chain = self.instruction.word(*chain, load(stretch * STRETCH + at));
            }
        }
        self.chains = chains;
    }

    /// The checksum, with the last group.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the upper halves are 0")]
    pub(crate) fn finish(self, load: impl Fn(usize) -> u64) -> u32 {
        let Self { instruction, chains: [first, second, third] } = self;
        let behind = |crc: u64, next: u64| u64::from(multiplied(crc as u32, SHIFT)) ^ next;
        let whole = behind(behind(first, second), third);
        let words = (3 * STRETCH..BYTES).step_by(8);
        !(words.fold(whole, |crc, at| instruction.word(crc, load(at))) as u32)
    }
}

/// The product of two polynomials modulo that of the checksum, all reflected.
const fn multiplied(one: u32, other: u32) -> u32 {
    let (mut product, mut one, mut bit) = (0, one, 1 << 31);
    while bit != 0 {
        if other & bit != 0 {
            product ^= one;
        }
        one = if one & 1 == 0 { one >> 1 } else { (one >> 1) ^ POLYNOMIAL };
        bit >>= 1;
    }
    product
}

/// x to the power of a number, modulo that of the checksum, reflected.
const fn power_of_x(exponent: u64) -> u32 {
    let (mut power, mut square, mut rest) = (1 << 31, 1 << 30, exponent);
    while rest != 0 {
        if rest & 1 != 0 {
            power = multiplied(power, square);
        }
        square = multiplied(square, square);
        rest >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::super::by_tables;
    use super::{BYTES, GROUPS, Striped};
    use alloc::vec::Vec;

    #[test]
    fn it_is_the_same_as_in_one_stretch() {
        let Some(mut striped) = Striped::of_this_cpu() else {
            return crate::skip::skip(
                "it_is_the_same_as_in_one_stretch",
                "the CPU has no instruction",
            );
        };
        let bytes: Vec<u8> =
            (0_u32..).take(BYTES).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
        let load = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
        (0..GROUPS).for_each(|group| striped.add(group, load));
        assert_eq!(striped.finish(load), by_tables(0, &bytes));
    }
}
