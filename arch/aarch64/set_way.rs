//! The operands that visit every line of a CPU's data caches, up to the level of coherency.
//!
//! `CLIDR_EL1` lists the levels and the point of coherency; `CCSIDR_EL1` describes the level that `CSSELR_EL1` selects.
//! Its numbers are those that these instructions take, and need not be those of the real caches (Arm ARM,
//! `CCSIDR_EL1`).
//!
//! The fields of an operand, from the lowest bit: a zero bit; the level less one, in three bits; the set, from the bit
//! that is the base-2 logarithm of the line size; the way. The way is in the highest bits of 32, in as many bits as the
//! ways need (Arm ARM, DC CISW). The numbers of sets and ways need not be powers of two.

/// The value of `CLIDR_EL1` for a level that has only a data cache.
const DATA_ALONE: u64 = 0b010;

/// Returns the levels, numbered from 0, that hold data and come before the point of coherency.
pub fn levels(clidr_el1: u64) -> impl Iterator<Item = u32> {
    let level_of_coherency = (clidr_el1 >> 24 & 0b111) as u32;
    // 0 no cache, 1 only instructions, 2 only data, 3 both separately, 4 unified.
    (0..level_of_coherency).filter(move |level| clidr_el1 >> (3 * level) & 0b111 >= DATA_ALONE)
}

/// One level, as `CCSIDR_EL1` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Numbered from 0.
    number: u32,
    /// Base-2 logarithm of its line, in bytes.
    line: u32,
    sets: u32,
    ways: u32,
}

impl Level {
    /// Returns the level with this number and `CCSIDR_EL1`; `ccidx` if the CPU has `FEAT_CCIDX`, with wider fields.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "no field has more than 24 bits")]
    pub fn new(number: u32, ccsidr_el1: u64, ccidx: bool) -> Self {
        let field = |shift: u32, bits: u32| (ccsidr_el1 >> shift & ((1 << bits) - 1)) as u32;
        let (sets, ways) =
            if ccidx { (field(32, 24), field(3, 21)) } else { (field(13, 15), field(3, 10)) };
        Self { number, line: field(0, 3) + 4, sets: sets + 1, ways: ways + 1 }
    }

    /// Returns the operands of all its lines.
    pub fn operands(self) -> impl Iterator<Item = u64> {
        (0..self.ways).flat_map(move |way| (0..self.sets).map(move |set| self.operand(set, way)))
    }

    fn operand(self, set: u32, way: u32) -> u64 {
        // A single way takes no bits, and there is no bit 32.
        let way_bits = self.ways.next_power_of_two().trailing_zeros();
        let way = u64::from(way) << (32 - way_bits);
        way | u64::from(set) << self.line | u64::from(self.number) << 1
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::{Level, levels};
    use alloc::vec::Vec;

    fn of(clidr_el1: u64) -> Vec<u32> {
        levels(clidr_el1).collect()
    }

    #[test]
    fn levels_that_hold_data_are_visited_up_to_that_of_coherency() {
        // Cortex-A53: separate caches at level 1, a unified one at level 2, coherency is level 2.
        assert_eq!(of(0x0a20_0023), [0, 1]);
        // Neoverse V1: the same.
        assert_eq!(of(0x8200_0023), [0, 1]);
        // A third, unified level that lies within the point of coherency; and beyond it.
        assert_eq!(of(0x0300_0123), [0, 1, 2]);
        assert_eq!(of(0x0200_0123), [0, 1]);
        // Instructions alone, data alone, nothing.
        assert_eq!(of(0x0300_0011), [1]);
        // No cache comes before the point of coherency.
        assert!(of(0x0000_0023).is_empty());
    }

    /// By hand from the format of DC CISW: way in the highest bits, set from the line's logarithm on.
    #[test]
    fn operands_are_those_of_the_manuals_format() {
        // Cortex-A53, level 1: 0x700fe01a is 128 sets, 4 ways, lines of 64 bytes: 2 bits of way from
        // bit 30, set from bit 6.
        let operands: Vec<u64> = Level::new(0, 0x700f_e01a, false).operands().collect();
        assert_eq!(operands.len(), 128 * 4);
        assert_eq!(operands[..3], [0, 0x40, 0x80]);
        assert_eq!(operands[127..130], [0x1fc0, 0x4000_0000, 0x4000_0040]);
        assert_eq!(operands.last(), Some(&0xc000_1fc0));
        // Level 2: 0x707fe07a is 1024 sets, 16 ways: 4 bits of way from bit 28; the level in bits 3:1.
        let operands: Vec<u64> = Level::new(1, 0x707f_e07a, false).operands().collect();
        assert_eq!(operands.len(), 1024 * 16);
        assert_eq!(operands[..2], [0x2, 0x42]);
        assert_eq!(operands.last(), Some(&0xf000_ffc2));
    }

    /// `FEAT_CCIDX`: sets in bits 55:32, ways in bits 23:3.
    #[test]
    fn the_wide_format_is_read_where_it_is_announced() {
        // Neoverse V1, level 2: 2048 sets, 8 ways, 64 bytes.
        let operands: Vec<u64> = Level::new(1, 0x7ff_0000_003a, true).operands().collect();
        assert_eq!(operands.len(), 2048 * 8);
        assert_eq!(operands.last(), Some(&0xe001_ffc2));
    }

    /// The way's bits are rounded up, and none is there if there is one way.
    #[test]
    fn ways_need_not_be_a_power_of_two() {
        // 3 ways of 256 sets, 64 bytes: assoc 2, sets 255.
        let operands: Vec<u64> = Level::new(0, 255 << 13 | 2 << 3 | 2, false).operands().collect();
        assert_eq!(operands.len(), 768);
        assert_eq!(operands[256], 0x4000_0000);
        assert_eq!(operands.last(), Some(&0x8000_3fc0));
        // Direct mapped, 2 sets of 16 bytes, level 3.
        let operands: Vec<u64> = Level::new(2, 1 << 13, false).operands().collect();
        assert_eq!(operands, [0x4, 0x14]);
    }
}
