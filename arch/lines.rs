//! The only loop from a range of bytes to its lines.
//!
//! Visits every line that the range touches once, in ascending order, and no other. Any address in a line names it, as
//! for the instructions: the start of the range names the first line, so nothing needs aligning. The loop compares with
//! the last byte instead of counting up to an end, so a range that ends at the top of the address space does not wrap.
//!
//! Lines are addresses, not pointers, since instructions take addresses. The provenance of the range is exposed, so the
//! compiler assumes that the assembly may read the bytes, and has stored them by then.

/// The size of a cache line: a power of two, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineSize {
    /// One less than the size: the bits of an address within a line.
    within: u16,
}

impl LineSize {
    /// The smallest plausible size: no CPU with maintenance by address has smaller lines.
    pub const MIN: usize = 16;
    /// The largest plausible size: the architectural maximum of arm64's `CTR_EL0.CWG`. A size that is too large would
    /// skip lines.
    pub const MAX: usize = 2048;

    /// The smallest plausible size.
    pub(crate) const SMALLEST: Self = Self::from_logarithm(Self::MIN.ilog2());

    /// The largest plausible size.
    pub(crate) const LARGEST: Self = Self::from_logarithm(Self::MAX.ilog2());

    /// Returns a line of `bytes` bytes, if that is a power of two from [`MIN`](Self::MIN) to [`MAX`](Self::MAX).
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "what is believed fits 16 bits")]
    pub const fn new(bytes: usize) -> Option<Self> {
        if bytes.is_power_of_two() && bytes >= Self::MIN && bytes <= Self::MAX {
            Some(Self { within: (bytes - 1) as u16 })
        } else {
            None
        }
    }

    /// Returns the size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.within as usize + 1
    }

    /// Returns the bits of an address within a line.
    #[inline(always)]
    pub(crate) const fn within(self) -> u16 {
        self.within
    }

    /// Returns the size for a kept value of [`within`](Self::within).
    #[inline(always)]
    pub(crate) const fn from_within(within: u16) -> Self {
        Self { within }
    }

    /// Returns the base-2 logarithm of the size, from 4 to 11, which fits in 4 bits.
    pub(crate) const fn logarithm(self) -> u32 {
        self.within.count_ones()
    }

    /// Returns the size for a [`logarithm`](Self::logarithm) in the low 4 bits.
    pub(crate) const fn from_logarithm(logarithm: u32) -> Self {
        Self { within: !(u16::MAX << (logarithm & 0xf)) }
    }
}

/// Calls `op` with an address in each line that `len` bytes from `start` touch. `within` has the bits of an address within
/// a line.
///
/// `start + len` may be the end of the address space and must not lie beyond it.
#[inline(always)]
pub fn for_each_line(start: *const u8, len: usize, within: u16, mut op: impl FnMut(usize)) {
    if len == 0 {
        return;
    }
    let first_byte = start.expose_provenance();
    let last_byte = first_byte.wrapping_add(len).wrapping_sub(1);
    op(first_byte);
    let mut end_of_line = first_byte | usize::from(within);
    while end_of_line < last_byte {
        let line = end_of_line.wrapping_add(1);
        op(line);
        end_of_line = line | usize::from(within);
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::{LineSize, for_each_line};
    use alloc::vec::Vec;
    use core::ptr::without_provenance;

    fn walk(start: usize, len: usize, line: usize) -> Vec<usize> {
        let mut seen = Vec::new();
        let within = LineSize::new(line).unwrap().within();
        for_each_line(without_provenance(start), len, within, |address| {
            seen.push(address & !usize::from(within));
        });
        seen
    }

    /// Returns the lines by division: from the line of the first byte to that of the last.
    fn by_division(start: usize, len: usize, line: usize) -> Vec<usize> {
        match len.checked_sub(1) {
            Some(rest) => {
                (start / line..=(start + rest) / line).map(|place| place * line).collect()
            }
            None => Vec::new(),
        }
    }

    #[test]
    fn every_small_range_is_covered_once() {
        // Miri interprets, some hundred times slower.
        let sizes: &[usize] = if cfg!(miri) { &[16] } else { &[16, 32, 64, 128, 256] };
        for line in sizes.iter().copied() {
            for offset in 0..2 * line {
                for len in 0..=3 * line {
                    let start = 0x10000 + offset;
                    assert_eq!(
                        walk(start, len, line),
                        by_division(start, len, line),
                        "start {start:#x}, len {len}, line {line}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_last_byte_of_the_address_space_is_reached() {
        let top = usize::MAX & !63;
        assert_eq!(walk(usize::MAX, 1, 64), [top]);
        assert_eq!(walk(top, 64, 64), [top]);
        assert_eq!(walk(top - 64 + 63, 65, 64), [top - 64, top]);
        assert_eq!(walk(0, 1, 64), [0]);
    }

    #[test]
    fn only_powers_of_two_in_range_are_line_sizes() {
        for bytes in [0, 1, 8, 48, 63, 65, 4096, usize::MAX] {
            assert_eq!(LineSize::new(bytes), None, "{bytes}");
        }
        for bytes in [16, 32, 64, 128, 256, 512, 1024, 2048] {
            assert_eq!(LineSize::new(bytes).map(LineSize::bytes), Some(bytes));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_range_is_covered_exactly(
            start in 0_usize..usize::MAX - 0x10000,
            len in 0_usize..0x4000,
            log2 in 4_u32..=11,
        ) {
            let line = 1_usize << log2;
            proptest::prop_assert_eq!(walk(start, len, line), by_division(start, len, line));
        }
    }
}
