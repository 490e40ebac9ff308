//! arm64: the instructions that matter for DMA, beside loads and stores, and the translation regimes (Arm ARM DDI 0487).

use super::architecture::{Architecture, BOTH, CLEAN, Effect, INVALIDATE, Mapped, Read, Word};
use super::tables::LongDescriptors;
use crate::aarch64;
use crate::decode::Action;

pub(super) const AARCH64: Architecture = Architecture {
    name: "aarch64",
    registers: aarch64::DECODER.registers,
    link: "x30",
    required: &["SCTLR", "TCR_EL1", "MAIR_EL1", "TTBR0_EL1", "TTBR1_EL1"],
    drops_in_order: false,
    effect,
    level,
    mapped,
    zeroed,
};

/// Xt, the register of a SYS instruction.
const XT: u32 = 0x1f;
const DSB_ISH: u32 = 0xd503_3b9f;
const DC_ZVA: u32 = 0xd50b_7420;
const DC_CIVAC: u32 = 0xd50b_7e20;
const DC_ISW: u32 = 0xd508_7640;
const DC_CSW: u32 = 0xd508_7a40;

fn effect(bytes: &[u8]) -> Option<Effect> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    if changes_translation(word) {
        return Some(Effect::Translation);
    }
    // Arm ARM, "SVE Memory - Store", and "Memory Copy and Memory Set".
    if word >> 25 == 0b111_0010 || word & 0xfb20_0c00 == 0x1900_0400 {
        return Some(Effect::Streaming);
    }
    if word == DSB_ISH {
        return Some(Effect::FenceOfCpus);
    }
    if word & !XT == DC_ZVA {
        return Some(Effect::Zero(aarch64::address(word)));
    }
    match (aarch64::DECODER.decode)(bytes, 0)? {
        Action::Writeback(_, address) if word & !XT == DC_CIVAC => {
            Some(Effect::Line(BOTH, address))
        }
        Action::Writeback(_, address) => Some(Effect::Line(CLEAN, address)),
        Action::Discard(address) => Some(Effect::Line(INVALIDATE, address)),
        Action::Unmodelled => Some(Effect::All(match word & !XT {
            DC_ISW => INVALIDATE,
            DC_CSW => CLEAN,
            _ => BOTH,
        })),
        Action::Fence(_) => Some(Effect::Fence),
        _ => None,
    }
}

/// Returns true for TLBI, and for MSR of SCTLR, TTBR, TCR, MAIR or HCR of any level: op0 is 3, and `CRn` is 1, 2 or 10.
const fn changes_translation(word: u32) -> bool {
    let is_tlbi = word & 0xfff8_f000 == 0xd508_8000;
    let is_msr = word & 0xfff8_0000 == 0xd518_0000;
    is_tlbi || is_msr && matches!(word >> 12 & 15, 1 | 2 | 10)
}

/// `SCTLR_ELx.M` and `SCTLR_ELx.C`.
const MMU_AND_CACHE: u64 = 1 | 1 << 2;
/// `HCR_EL2.E2H` and `HCR_EL2.TGE`.
const E2H: u64 = 1 << 34;
const TGE: u64 = 1 << 27;

/// The access flag and AP\[2\] of a descriptor ("Hardware management of the Access flag and dirty state").
const SET_BY_WALKS: u64 = 1 << 10 | 1 << 7;

/// The emulator's names of the registers of each regime: SCTLR, TCR, MAIR, TTBR0, TTBR1.
const REGIMES: [[&str; 5]; 3] = [
    ["SCTLR", "TCR_EL1", "MAIR_EL1", "TTBR0_EL1", "TTBR1_EL1"],
    ["SCTLR_EL2", "TCR_EL2", "MAIR_EL2", "TTBR0_EL2", "TTBR1_EL2"],
    ["SCTLR_EL3", "TCR_EL3", "MAIR_EL3", "TTBR0_EL3", ""],
];

/// Returns the exception level of the running CPU; 1 if the emulator does not show it here.
fn level(read: Read<'_>) -> u8 {
    read("cpsr").map_or(1, |pstate| (pstate >> 2 & 3) as u8)
}

/// Returns the exception level whose registers translate for an exception level.
const fn translating_level(level: u8, hcr: u64) -> u8 {
    match level {
        0 if hcr & (E2H | TGE) == E2H | TGE => 2,
        0 => 1,
        level => level,
    }
}

fn mapped(read: Read<'_>, level: u8, address: u64, word: Word<'_>) -> Mapped {
    let hcr = read("HCR_EL2").unwrap_or_default();
    let level = translating_level(level, hcr);
    let [sctlr, tcr, mair, lower, upper] =
        REGIMES[usize::from(level.clamp(1, 3)) - 1].map(|name| read(name).unwrap_or_default());
    let has_two_ranges = level == 1 || level == 2 && hcr & E2H != 0;
    let do_walks_store = tcr >> (if has_two_ranges { 39 } else { 21 }) & 1 != 0;
    let set_by_walks = if do_walks_store { SET_BY_WALKS } else { 0 };
    if sctlr & MMU_AND_CACHE != MMU_AND_CACHE {
        return Mapped { is_cacheable: false, set_by_walks };
    }
    // The top byte may be a tag; bit 55 selects the range.
    let is_upper = has_two_ranges && address >> 55 & 1 == 1;
    let (size, granule) = range(tcr, is_upper);
    let table = if is_upper { upper } else { lower };
    let tables = LongDescriptors { bits: 64_u32.saturating_sub(size), granule, table, mair };
    Mapped { is_cacheable: tables.is_cacheable(address, word), set_by_walks }
}

/// Returns `TnSZ` and the bits of a granule's offset.
const fn range(tcr: u64, is_upper: bool) -> (u32, u32) {
    let (size, granule) = if is_upper { (tcr >> 16, tcr >> 30 & 3) } else { (tcr, tcr >> 14 & 3) };
    let granule = match (is_upper, granule) {
        (true, 1) | (false, 2) => 14,
        (true, 3) | (false, 1) => 16,
        (_, _) => 12,
    };
    ((size & 63) as u32, granule)
}

/// Returns the length of the block that DC ZVA zeroes.
fn zeroed(read: Read<'_>) -> u64 {
    read("DCZID_EL0").map_or(64, |id| 4 << (id & 15))
}

/// Expected words are from GNU as 2.40.
#[cfg(test)]
mod tests {
    use super::{AARCH64, BOTH, CLEAN, Effect, INVALIDATE, translating_level};
    use crate::decode::Address;
    use std::collections::HashMap;

    fn effect(word: u32) -> Option<Effect> {
        (AARCH64.effect)(&word.to_le_bytes())
    }

    #[test]
    fn maintenance_is_what_its_instruction_does() {
        let line = |what, register| Some(Effect::Line(what, Address::of(register)));
        for (mnemonic, word, expected) in [
            ("dc cvap, x3", 0xd50b_7c23, line(CLEAN, 3)),
            ("dc civac, x30", 0xd50b_7e3e, line(BOTH, 30)),
            ("dc ivac, x1", 0xd508_7621, line(INVALIDATE, 1)),
            ("dc zva, x5", 0xd50b_7425, Some(Effect::Zero(Address::of(5)))),
            ("dc isw, x0", 0xd508_7640, Some(Effect::All(INVALIDATE))),
            ("dc csw, x0", 0xd508_7a40, Some(Effect::All(CLEAN))),
            ("dc cisw, x3", 0xd508_7e43, Some(Effect::All(BOTH))),
            ("dsb sy", 0xd503_3f9f, Some(Effect::Fence)),
            ("dsb ish", 0xd503_3b9f, Some(Effect::FenceOfCpus)),
            ("dsb osh", 0xd503_339f, None),
            ("dc cvau, x0", 0xd50b_7b20, None),
        ] {
            assert_eq!(effect(word), expected, "{mnemonic}");
        }
    }

    #[test]
    fn changed_translations_are_noticed() {
        for (mnemonic, word) in [
            ("tlbi vmalle1is", 0xd508_831f),
            ("tlbi vae1is, x0", 0xd508_8320),
            ("tlbi vae2, x0", 0xd50c_8720),
            ("msr ttbr0_el1, x0", 0xd518_2000),
            ("msr tcr_el1, x0", 0xd518_2040),
            ("msr sctlr_el1, x0", 0xd518_1000),
            ("msr mair_el1, x0", 0xd518_a200),
            ("msr hcr_el2, x0", 0xd51c_1100),
        ] {
            assert_eq!(effect(word), Some(Effect::Translation), "{mnemonic}");
        }
        assert_eq!(effect(0xd518_4000), None, "msr spsr_el1, x0");
        assert_eq!(effect(0xd538_2000), None, "mrs x0, ttbr0_el1");
    }

    #[test]
    fn stores_that_the_emulator_makes_are_noticed() {
        assert_eq!(effect(0xe400_4000), Some(Effect::Streaming), "st1b {{z0.b}}, p0, [x0, x0]");
        assert_eq!(effect(0xe580_4000), Some(Effect::Streaming), "str z0, [x0]");
        assert_eq!(effect(0x19c6_44a3), Some(Effect::Streaming), "setm [x3]!, x5!, x6");
        assert_eq!(effect(0x1901_0440), Some(Effect::Streaming), "cpyfp [x0]!, [x1]!, x2!");
        assert_eq!(effect(0x1d41_0440), Some(Effect::Streaming), "cpym [x0]!, [x1]!, x2!");
        assert_eq!(effect(0x1940_0020), None, "ldapurb w0, [x1]");
        assert_eq!(effect(0xa400_a000), None, "ld1b {{z0.b}}, p0/z, [x0, x0]");
    }

    /// Returns true if an address is cacheable at EL1 with this TCR and these words. Attribute 0 is a device, 1 write-back,
    /// 2 non-cacheable.
    fn is_cacheable(tcr: u64, entries: &[(u64, u64)], address: u64) -> bool {
        let entries: HashMap<u64, u64> = entries.iter().copied().collect();
        let read = |name: &str| match name {
            "SCTLR" => Some(0x30d0_1805),
            "TCR_EL1" => Some(tcr),
            "MAIR_EL1" => Some(0x44_ff00),
            "TTBR0_EL1" => Some(0x4000_0000),
            "TTBR1_EL1" => Some(0x4800_0000),
            _ => None,
        };
        let word = |at| Some(entries.get(&at).copied().unwrap_or(0));
        (AARCH64.mapped)(&read, 1, address, &word).is_cacheable
    }

    #[test]
    fn blocks_of_a_gibibyte_have_types() {
        // T0SZ 25: 39 bits, whose first table has blocks of 1 GiB; attribute indexes 0, 1 and 2.
        let tables = [(0x4000_0000, 0x401), (0x4000_0008, 0x4000_0705), (0x4000_0010, 0x8000_0709)];
        assert!(!is_cacheable(25, &tables, 0x900_0000));
        assert!(is_cacheable(25, &tables, 0x4000_1234));
        assert!(!is_cacheable(25, &tables, 0x8000_0000));
        let off = |name: &str| (name == "SCTLR").then_some(0x30d0_1804);
        assert!(
            !(AARCH64.mapped)(&off, 1, 0x4000_1234, &|_at| None).is_cacheable,
            "without the MMU"
        );
    }

    #[test]
    fn pages_of_every_granule_are_found() {
        // 4 KiB, T1SZ 16 (48 bits, four levels): VA 0xffff_8000_0040_3000 has the indexes 256, 0, 2, 3.
        let tables = [
            (0x4800_0800, 0x4800_1003),
            (0x4800_1000, 0x4800_2003),
            (0x4800_2010, 0x4800_3003),
            (0x4800_3018, 0x4700_000b),
        ];
        assert!(!is_cacheable(2 << 30 | 16 << 16, &tables, 0xffff_8000_0040_3abc));
        // 64 KiB, T1SZ 22 (42 bits, two levels of 13 bits): VA 0xffff_fc00_2003_0000 has the indexes 1 and 3.
        let tables = [(0x4800_0008, 0x4801_0003), (0x4801_0018, 0x4700_000b)];
        assert!(!is_cacheable(3 << 30 | 22 << 16, &tables, 0xffff_fc00_2003_0000));
        // 16 KiB, T0SZ 17 (47 bits, three levels of 11 bits): VA 0x200_c000 has the indexes 0, 1 and 3.
        let tables =
            [(0x4000_0000, 0x4000_4003), (0x4000_4008, 0x4000_8003), (0x4000_8018, 0x4700_000b)];
        assert!(!is_cacheable(2 << 14 | 0x11, &tables, 0x200_c000));
    }

    #[test]
    fn a_host_kernel_at_el2_translates_for_its_programs() {
        let (e2h, tge) = (1 << 34, 1 << 27);
        assert_eq!(translating_level(0, 0), 1);
        assert_eq!(translating_level(0, e2h | tge), 2);
        assert_eq!(translating_level(0, e2h), 1, "a guest's program");
        assert_eq!(translating_level(2, 0), 2);
    }
}
