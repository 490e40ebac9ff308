//! Sizes of the pages of a table.

use super::table::{MOST, PREAMBLE, child_size};
use super::{IS_SMALL, NAME};

/// Levels that a table can have.
pub(in crate::preserve) const LEVELS: usize = 16;
/// The most bytes of a root.
pub(in crate::preserve) const ROOT: u64 = MOST + PREAMBLE as u64;

/// The bytes of entries that a page has, in units of up to this number of bytes: those of the longest entry.
const ENTRIES: u64 = if IS_SMALL { 192 } else { 4416 };
/// The bytes of children that a page has: at least as many as three of the longest.
const CHILDREN: u64 = if IS_SMALL { 128 } else { 1024 };

/// Returns the capacity of a page of a level, in bytes of entries or children. A page with more is split.
pub(in crate::preserve) fn capacity(level: usize, unit: u64) -> u64 {
    let bytes = if level == 0 { ENTRIES } else { CHILDREN };
    if IS_SMALL { bytes } else { bytes.next_multiple_of(unit).min(MOST) }
}

/// Returns the size of the place of a page below the root with `len` bytes. The size is always the same, so that each
/// place can be used for any page of its kind. Only a forged page is larger.
pub(in crate::preserve) fn slot(level: usize, len: u64, unit: u64) -> u64 {
    most(level, unit).max(len).next_multiple_of(unit)
}

/// Returns the size of the place of a root with `len` bytes of entries or children.
pub(in crate::preserve) fn root_slot(level: usize, len: u64, unit: u64) -> u64 {
    let len = if level == 0 { len } else { most(level, unit).max(len) };
    (PREAMBLE as u64 + len).next_multiple_of(unit)
}

/// A page is not split if it has one entry or three children, however long their names are.
fn most(level: usize, unit: u64) -> u64 {
    let least = if level == 0 { 0 } else { 3 * child_size(NAME) };
    capacity(level, unit).max(least)
}

#[cfg(test)]
mod tests {
    use super::super::METADATA;
    use super::super::table::size;
    use super::*;

    /// Worked out by hand from the module's documentation.
    #[test]
    fn pages_have_the_sizes_of_the_documentation() {
        for (unit, entries, children) in
            [(64, 4416, 1024), (512, 4608, 1024), (4096, 8192, 4096), (1 << 16, 32_768, 32_768)]
        {
            assert_eq!((capacity(0, unit), capacity(3, unit)), (entries, children), "{unit}");
        }
        assert_eq!((slot(0, 80, 64), slot(1, 80, 64)), (4416, 1024));
        assert_eq!((slot(0, 80, 1 << 16), slot(1, 80, 1 << 16)), (1 << 16, 1 << 16));
        assert_eq!((root_slot(0, 0, 64), root_slot(0, 56, 64)), (192, 256));
        assert_eq!((root_slot(1, 80, 64), root_slot(1, 80, 4096)), (1216, 8192));
    }

    #[test]
    fn each_entry_has_room_in_a_page() {
        assert!(size(NAME, METADATA) <= capacity(0, 64));
    }
}
