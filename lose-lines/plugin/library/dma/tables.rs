//! Long descriptors, which arm64 and LPAE share (Arm ARM DDI 0487, "VMSAv8-64 address translation", and DDI 0406C,
//! "Long-descriptor translation table format").

use super::architecture::Word;

/// The tables of a range of addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongDescriptors {
    /// The number of translated bits of an address.
    pub(super) bits: u32,
    /// The number of bits of an offset in a page.
    pub(super) granule: u32,
    /// The physical address of the first table, as in TTBR.
    pub(super) table: u64,
    /// MAIR.
    pub(super) mair: u64,
}

impl LongDescriptors {
    /// Returns true if an address is mapped as cacheable memory. `word` reads physical memory. An address without a
    /// translation is taken for cacheable: it has just been accessed, so the tables changed meanwhile.
    pub(super) fn is_cacheable(&self, address: u64, word: Word<'_>) -> bool {
        let Self { bits, granule, table, mair } = *self;
        let stride = granule - 3;
        let levels = bits.saturating_sub(granule).div_ceil(stride).max(1);
        let mut table = table & 0x0000_ffff_ffff_fffe;
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
                return is_cacheable_type(mair >> (8 * (entry >> 2 & 7)));
            }
            table = entry & low_bits(48) & !low_bits(granule);
        }
        true
    }
}

const fn low_bits(count: u32) -> u64 {
    (1 << count) - 1
}

/// Returns true for the attributes of normal memory that is outer cacheable (MAIR).
const fn is_cacheable_type(attributes: u64) -> bool {
    !matches!(attributes >> 4 & 15, 0 | 4)
}
