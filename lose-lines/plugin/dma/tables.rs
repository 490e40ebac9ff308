//! The memory type of an access, from the guest's page tables (Arm ARM DDI 0487, "VMSAv8-64 address translation").

/// The registers of a translation regime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Regime {
    /// SCTLR.
    pub sctlr: u64,
    /// TCR.
    pub tcr: u64,
    /// MAIR.
    pub mair: u64,
    /// TTBR0, and TTBR1 of a regime with two ranges.
    pub ttbr: [u64; 2],
    /// True if there is an upper range: EL1&0, and EL2 with `HCR_EL2.E2H`.
    pub has_two_ranges: bool,
}

/// `SCTLR_ELx.M` and `SCTLR_ELx.C`.
const MMU_AND_CACHE: u64 = 1 | 1 << 2;
/// `HCR_EL2.E2H` and `HCR_EL2.TGE`.
const E2H: u64 = 1 << 34;
const TGE: u64 = 1 << 27;

/// Returns the exception level whose registers translate for an exception level.
#[must_use]
pub const fn translating_level(level: u8, hcr: u64) -> u8 {
    match level {
        0 if hcr & (E2H | TGE) == E2H | TGE => 2,
        0 => 1,
        level => level,
    }
}

/// Returns true if EL2 has an upper range.
#[must_use]
pub const fn has_el2_two_ranges(hcr: u64) -> bool {
    hcr & E2H != 0
}

impl Regime {
    /// Returns true if page walks may store to descriptors: `TCR_ELx.HA`.
    #[must_use]
    pub const fn do_walks_store(&self) -> bool {
        self.tcr >> (if self.has_two_ranges { 39 } else { 21 }) & 1 != 0
    }

    /// Returns true if an address is mapped as cacheable memory. `word` reads physical memory. An address without a
    /// translation is taken for cacheable: it has just been accessed, so the tables changed meanwhile.
    pub fn is_cacheable(&self, address: u64, word: impl Fn(u64) -> Option<u64>) -> bool {
        if self.sctlr & MMU_AND_CACHE != MMU_AND_CACHE {
            return false;
        }
        // The top byte may be a tag; bit 55 selects the range.
        let is_upper = self.has_two_ranges && address >> 55 & 1 == 1;
        let (size, granule) = self.range(is_upper);
        let bits = 64_u32.saturating_sub(size);
        let stride = granule - 3;
        let levels = bits.saturating_sub(granule).div_ceil(stride).max(1);
        let mut table = self.ttbr[usize::from(is_upper)] & 0x0000_ffff_ffff_fffe;
        for left in (0..levels).rev() {
            let shift = granule + stride * left;
            let index_bits = if left + 1 == levels { bits.saturating_sub(shift) } else { stride };
            let index = address >> shift & low_bits(index_bits);
            let Some(entry) = word(table + 8 * index) else { return true };
            if entry & 1 == 0 {
                return true;
            }
            let is_block = entry & 2 == 0;
            if left == 0 || is_block {
                return is_cacheable_type(self.mair >> (8 * (entry >> 2 & 7)));
            }
            table = entry & low_bits(48) & !low_bits(granule);
        }
        true
    }

    /// Returns `TnSZ` and the bits of a granule's offset.
    const fn range(&self, is_upper: bool) -> (u32, u32) {
        if is_upper {
            let granule = match self.tcr >> 30 & 3 {
                1 => 14,
                3 => 16,
                _ => 12,
            };
            ((self.tcr >> 16 & 63) as u32, granule)
        } else {
            let granule = match self.tcr >> 14 & 3 {
                1 => 16,
                2 => 14,
                _ => 12,
            };
            ((self.tcr & 63) as u32, granule)
        }
    }
}

const fn low_bits(count: u32) -> u64 {
    (1 << count) - 1
}

/// Returns true for the attributes of normal memory that is outer cacheable (`MAIR_EL1`).
const fn is_cacheable_type(attributes: u64) -> bool {
    !matches!(attributes >> 4 & 15, 0 | 4)
}

#[cfg(test)]
mod tests {
    use super::{Regime, translating_level};
    use std::collections::HashMap;

    /// Attribute 0 is a device, 1 write-back, 2 non-cacheable.
    const MAIR: u64 = 0x44_ff00;

    fn regime(tcr: u64) -> Regime {
        let ttbr = [0x4000_0000, 0x4800_0000];
        Regime { sctlr: 0x30d0_1805, tcr, mair: MAIR, ttbr, has_two_ranges: true }
    }

    fn reads(entries: &[(u64, u64)]) -> impl Fn(u64) -> Option<u64> {
        let entries: HashMap<u64, u64> = entries.iter().copied().collect();
        move |at| Some(entries.get(&at).copied().unwrap_or(0))
    }

    #[test]
    fn blocks_of_a_gibibyte_have_types() {
        // T0SZ 25: 39 bits, whose first table has blocks of 1 GiB; attribute indexes 0, 1 and 2.
        let tables =
            reads(&[(0x4000_0000, 0x401), (0x4000_0008, 0x4000_0705), (0x4000_0010, 0x8000_0709)]);
        let regime = regime(25);
        assert!(!regime.is_cacheable(0x900_0000, &tables));
        assert!(regime.is_cacheable(0x4000_1234, &tables));
        assert!(!regime.is_cacheable(0x8000_0000, &tables));
        let off = Regime { sctlr: 0x30d0_1804, ..regime };
        assert!(!off.is_cacheable(0x4000_1234, &tables), "without the MMU");
    }

    #[test]
    fn pages_of_every_granule_are_found() {
        // 4 KiB, T1SZ 16 (48 bits, four levels): VA 0xffff_8000_0040_3000 has the indexes 256, 0, 2, 3.
        let tables = reads(&[
            (0x4800_0800, 0x4800_1003),
            (0x4800_1000, 0x4800_2003),
            (0x4800_2010, 0x4800_3003),
            (0x4800_3018, 0x4700_000b),
        ]);
        assert!(!regime(2 << 30 | 16 << 16).is_cacheable(0xffff_8000_0040_3abc, &tables));
        // 64 KiB, T1SZ 22 (42 bits, two levels of 13 bits): VA 0xffff_fc00_2003_0000 has the indexes 1 and 3.
        let tables = reads(&[(0x4800_0008, 0x4801_0003), (0x4801_0018, 0x4700_000b)]);
        assert!(!regime(3 << 30 | 22 << 16).is_cacheable(0xffff_fc00_2003_0000, &tables));
        // 16 KiB, T0SZ 17 (47 bits, three levels of 11 bits): VA 0x200_c000 has the indexes 0, 1 and 3.
        let tables = reads(&[
            (0x4000_0000, 0x4000_4003),
            (0x4000_4008, 0x4000_8003),
            (0x4000_8018, 0x4700_000b),
        ]);
        assert!(!regime(2 << 14 | 0x11).is_cacheable(0x200_c000, &tables));
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
