//! 32-bit Arm, in both instruction sets: maintenance by CP15, and the two formats of tables (Arm ARM DDI 0406C, "Virtual
//! Memory System Architecture").
//!
//! # Limits
//! An instruction whose condition fails counts as executed. Hyp mode's memory is taken for cacheable.

use super::architecture::{Architecture, BOTH, CLEAN, Effect, INVALIDATE, Mapped, Read, Word};
use super::tables::LongDescriptors;
use crate::decode::Address;

pub(super) const ARM: Architecture = Architecture {
    name: "arm",
    registers: &[
        "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr",
    ],
    link: "lr",
    required: &["SCTLR", "TTBCR", "TTBR0_EL1", "TTBR1_EL1", "MAIR0", "MAIR1"],
    drops_in_order: false,
    effect,
    level,
    mapped,
    zeroed: |_read| 0,
};

/// Rt of MCR.
const RT: u32 = 0xf << 12;

fn effect(bytes: &[u8]) -> Option<Effect> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    // The first half of a Thumb instruction is its upper one. No word is an instruction of interest in both sets.
    let thumb = word.rotate_left(16);
    // Linux relies on DSB ST to complete maintenance (`arch/arm/mm/cache-v7.S`).
    if matches!(word, 0xf57f_f04e | 0xf57f_f04f) || matches!(thumb, 0xf3bf_8f4e | 0xf3bf_8f4f) {
        return Some(Effect::Fence);
    }
    if word == 0xf57f_f04b || thumb == 0xf3bf_8f4b {
        return Some(Effect::FenceOfCpus);
    }
    let of = |word: u32, is_one: bool| coprocessor(word & 0x0fff_ffff).filter(|_effect| is_one);
    of(word, word >> 28 != 0xf).or_else(|| of(thumb, thumb >> 28 == 0xe))
}

/// Returns the effect of MCR and MCRR without their condition.
fn coprocessor(word: u32) -> Option<Effect> {
    let what = match word & !RT {
        // DCIMVAC, DCCMVAC, DCCIMVAC
        0x0e07_0f36 => Some(INVALIDATE),
        0x0e07_0f3a => Some(CLEAN),
        0x0e07_0f3e => Some(BOTH),
        _ => None,
    };
    if let Some(what) = what {
        let [_, register, ..] = word.to_le_bytes();
        return Some(Effect::Line(what, Address::of(register >> 4)));
    }
    match word & !RT {
        // DCISW, DCCSW, DCCISW, CP15DSB
        0x0e07_0f56 => return Some(Effect::All(INVALIDATE)),
        0x0e07_0f5a => return Some(Effect::All(CLEAN)),
        0x0e07_0f5e => return Some(Effect::All(BOTH)),
        0x0e07_0f9a => return Some(Effect::Fence),
        _ => {}
    }
    // SCTLR and SCR, TTBR and TTBCR, operations on TLBs, PRRR and NMRR or MAIR; TTBR of 64 bits.
    let is_mcr = word & 0x0f10_0f10 == 0x0e00_0f10 && matches!(word >> 16 & 15, 1 | 2 | 8 | 10);
    (is_mcr || word & 0x0ff0_0f0f == 0x0c40_0f02).then_some(Effect::Translation)
}

const MONITOR: u64 = 0x16;
const HYP: u64 = 0x1a;

fn level(read: Read<'_>) -> u8 {
    match read("cpsr").unwrap_or_default() & 0x1f {
        MONITOR => 3,
        HYP => 2,
        _ => 1,
    }
}

/// Bits of SCTLR: M and C, and the one for remapped memory types.
const MMU_AND_CACHE: u64 = 1 | 1 << 2;
const REMAPPED: u64 = 1 << 28;
/// `TTBCR.EAE`.
const LONG: u64 = 1 << 31;

fn mapped(read: Read<'_>, level: u8, address: u64, word: Word<'_>) -> Mapped {
    // A CPU with a secure state has a second set of registers.
    let is_secure = level == 3 || read("SCR").is_some_and(|scr| scr & 1 == 0);
    let register = |name: &str| {
        let secure = if is_secure { read(&format!("{name}_S")) } else { None };
        secure.or_else(|| read(name)).unwrap_or_default()
    };
    let [sctlr, control] = ["SCTLR", "TTBCR"].map(register);
    let types = register("MAIR1") << 32 | register("MAIR0");
    let is_cacheable = if level == 2 {
        true
    } else if sctlr & MMU_AND_CACHE != MMU_AND_CACHE {
        false
    } else if control & LONG != 0 {
        long(control, ["TTBR0", "TTBR1"].map(register), types, address, word)
    } else {
        let types = (sctlr & REMAPPED != 0).then_some(types);
        short(control, ["TTBR0_EL1", "TTBR1_EL1"].map(register), types, address, word)
    };
    Mapped { is_cacheable, set_by_walks: 0 }
}

fn long(control: u64, tables: [u64; 2], mair: u64, address: u64, word: Word<'_>) -> bool {
    let sizes = [(control & 7) as u32, (control >> 16 & 7) as u32];
    let is_upper = match sizes {
        [0, 0] => false,
        [size, 0] => address >> (32 - size) != 0,
        [_, size] => address >> (32 - size) == (1 << size) - 1,
    };
    let bits = 32 - sizes[usize::from(is_upper)];
    let table = tables[usize::from(is_upper)];
    LongDescriptors { bits, granule: 12, table, mair }.is_cacheable(address, word)
}

/// As [`LongDescriptors::is_cacheable`], for short descriptors. `types` are PRRR and NMRR, if the types of memory are
/// remapped.
fn short(control: u64, tables: [u64; 2], types: Option<u64>, address: u64, word: Word<'_>) -> bool {
    let entry = |at: u64| word(at & !7).map(|word| word >> (at % 8 * 8) & 0xffff_ffff);
    let size = control & 7;
    let (table, size) =
        if address >> (32 - size) == 0 { (tables[0], size) } else { (tables[1], 0) };
    let at = table & !((1 << (14 - size)) - 1) & 0xffff_ffff;
    let index = address >> 20 & ((1 << (12 - size)) - 1);
    let Some(first) = entry(at + 4 * index) else { return true };
    let (descriptor, extension) = match first & 3 {
        0 => return true,
        1 => {
            let Some(second) = entry((first & !0x3ff) + 4 * (address >> 12 & 0xff)) else {
                return true;
            };
            match second & 3 {
                0 => return true,
                1 => (second, second >> 12 & 7),
                _ => (second, second >> 6 & 7),
            }
        }
        _ => (first, first >> 12 & 7),
    };
    is_cacheable_type(extension, descriptor >> 2 & 3, types)
}

/// Returns true for normal memory that is outer cacheable, by TEX and the bits C and B.
const fn is_cacheable_type(extension: u64, bits: u64, types: Option<u64>) -> bool {
    match (types, extension) {
        (Some(types), _) => {
            let shift = 2 * ((extension & 1) << 2 | bits);
            types >> shift & 3 == 2 && types >> (48 + shift) & 3 != 0
        }
        (None, 0 | 1) => bits & 2 != 0,
        (None, 4..=7) => extension & 3 != 0,
        (None, _) => false,
    }
}

/// Expected words are from GNU as 2.40.
#[cfg(test)]
mod tests {
    use super::{ARM, BOTH, CLEAN, Effect, INVALIDATE, effect};
    use crate::decode::Address;
    use std::collections::HashMap;

    #[test]
    fn maintenance_is_what_its_instruction_does_in_both_sets() {
        let line = |what, register| Some(Effect::Line(what, Address::of(register)));
        for (mnemonic, word, expected) in [
            ("mcr p15, 0, r0, c7, c6, 1", 0xee07_0f36_u32, line(INVALIDATE, 0)),
            ("mcr p15, 0, r12, c7, c10, 1", 0xee07_cf3a, line(CLEAN, 12)),
            ("mcr p15, 0, r3, c7, c14, 1", 0xee07_3f3e, line(BOTH, 3)),
            ("mcr p15, 0, r1, c7, c14, 2", 0xee07_1f5e, Some(Effect::All(BOTH))),
            ("mcr p15, 0, r1, c7, c11, 1", 0xee07_1f3b, None),
            ("mcr p15, 0, r0, c7, c10, 4", 0xee07_0f9a, Some(Effect::Fence)),
            ("mcr p15, 0, r0, c1, c0, 0", 0xee01_0f10, Some(Effect::Translation)),
            ("mcr p15, 0, r0, c8, c7, 0", 0xee08_0f17, Some(Effect::Translation)),
            ("mcrr p15, 0, r0, r1, c2", 0xec41_0f02, Some(Effect::Translation)),
            ("mrc p15, 0, r0, c1, c0, 0", 0xee11_0f10, None),
        ] {
            assert_eq!(effect(&word.to_le_bytes()), expected, "{mnemonic}");
            assert_eq!(effect(&word.rotate_left(16).to_le_bytes()), expected, "{mnemonic}, Thumb");
        }
        for (mnemonic, word, expected) in [
            ("mcrne p15, 0, r0, c7, c6, 1", 0x1e07_0f36_u32, line(INVALIDATE, 0)),
            ("dsb sy", 0xf57f_f04f, Some(Effect::Fence)),
            ("dsb st", 0xf57f_f04e, Some(Effect::Fence)),
            ("dsb ish", 0xf57f_f04b, Some(Effect::FenceOfCpus)),
            ("dmb sy", 0xf57f_f05f, None),
            ("dsb sy, Thumb", 0x8f4f_f3bf, Some(Effect::Fence)),
            ("dsb ish, Thumb", 0x8f4b_f3bf, Some(Effect::FenceOfCpus)),
        ] {
            assert_eq!(effect(&word.to_le_bytes()), expected, "{mnemonic}");
        }
    }

    /// Returns true if an address is cacheable with these registers and words of 32 bits.
    fn is_cacheable(registers: &[(&str, u64)], words: &[(u64, u64)], address: u64) -> bool {
        let registers: HashMap<&str, u64> = registers.iter().copied().collect();
        let words: HashMap<u64, u64> = words.iter().copied().collect();
        let half = |at| words.get(&at).copied().unwrap_or_default();
        let read = |name: &str| registers.get(name).copied();
        let word = |at: u64| Some(half(at + 4) << 32 | half(at));
        (ARM.mapped)(&read, 1, address, &word).is_cacheable
    }

    #[test]
    fn sections_and_pages_of_short_descriptors_have_types() {
        let registers = [("SCTLR", 5), ("TTBCR", 0), ("TTBR0_EL1", 0x4000_4059)];
        // A section with TEX 1, C and B; one of a device; a table with a small page and a large one, both not cached.
        let words = [
            (0x4000_5000, 0x4001_1c0e),
            (0x4000_4240, 0x0900_0c06),
            (0x4000_5004, 0x4000_8001),
            (0x4000_8008, 0x4010_2072),
            (0x4000_80c0, 0x4013_1031),
        ];
        for (address, expected) in [
            (0x4001_2345, true),
            (0x0900_0000, false),
            (0x4010_2000, false),
            (0x4013_0000, false),
            (0x5000_0000, true),
        ] {
            assert_eq!(is_cacheable(&registers, &words, address), expected, "{address:#x}");
        }
        let off = [("SCTLR", 4), ("TTBR0_EL1", 0x4000_4000)];
        assert!(!is_cacheable(&off, &words, 0x4001_2345), "without the MMU");
    }

    #[test]
    fn upper_addresses_have_their_own_table_and_remapped_types() {
        // Linux: PRRR 0xff0a81a8, NMRR 0x40e040e0 (`arch/arm/mm/proc-v7-2level.S`); 1 GiB below TTBR1.
        let registers = [
            ("SCTLR", 5 | 1 << 28),
            ("TTBCR", 2),
            ("TTBR0_EL1", 0x4000_2000),
            ("TTBR1_EL1", 0x4000_4000),
            ("MAIR0", 0xff0a_81a8),
            ("MAIR1", 0x40e0_40e0),
        ];
        // The types of write-back memory with allocation (7), and of memory that is not cached (1).
        let words = [(0x4000_7000, 0x4001_1c0e), (0x4000_7004, 0x4010_0c06)];
        assert!(is_cacheable(&registers, &words, 0xc000_0000));
        assert!(!is_cacheable(&registers, &words, 0xc010_0000));
    }

    #[test]
    fn secure_registers_and_long_descriptors_are_used() {
        // TTBCR.EAE; blocks of 1 GiB with the attributes 0 (not cached) and 1.
        let registers = [
            ("SCR", 0),
            ("SCTLR", 0),
            ("SCTLR_S", 5),
            ("TTBCR_S", 1 << 31),
            ("TTBR0_S", 0x4000_0000),
            ("MAIR0_S", 0xff44),
        ];
        let words = [(0x4000_0000, 0x401), (0x4000_0008, 0x4000_0405)];
        assert!(!is_cacheable(&registers, &words, 0x1000));
        assert!(is_cacheable(&registers, &words, 0x4000_1000));
    }
}
