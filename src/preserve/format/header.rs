//! The bytes of a header: one line. Replacing it makes a commit.

use super::page::ROOT;
use super::table::PREAMBLE;
use super::{WORD, data, is_unit};
use crate::format::layout::{Layout as _, layout};
use crate::format::magic::{self, Magic};
use crate::format::superblock;

/// Bytes of a header.
pub(in crate::preserve) const BYTES: usize = 64;
/// The first bytes of a header.
pub(in crate::preserve) const MAGIC: Magic = magic::STORE;
/// The version of the format.
pub(in crate::preserve) const VERSION: u32 = 3;

/// The generation of the header that a creation writes.
pub(in crate::preserve) const FIRST: u64 = 1;
/// The offset of the generation.
pub(in crate::preserve) const GENERATION: u64 = 24;

/// Added to the unit, which is even.
const SEALED: u32 = 1;

layout! {
    struct Fields: 64 {
        0 magic_and_version: [u8; 12],
        /// Bytes of the root.
        12 len: u32,
        16 tag: u64,
        24 generation: u64,
        32 size: u64,
        40 root: u64,
        48 copy: u64,
        /// Bytes of a unit, and 1 more if the store is sealed.
        56 unit: u32,
        60 root_tag: u32,
    }
}

/// The root of the table, and the numbers needed to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preserve) struct Header {
    /// The number of headers written so far. The header with the higher number is current.
    pub(in crate::preserve) generation: u64,
    /// Bytes of the store.
    pub(in crate::preserve) size: u64,
    /// The places of the table's root and of its copy.
    pub(in crate::preserve) roots: [u64; 2],
    /// The length of the root in bytes.
    pub(in crate::preserve) len: u64,
    /// The lower half of its tag.
    pub(in crate::preserve) root_tag: u32,
    /// Blobs and pages begin at multiples of this, in bytes.
    pub(in crate::preserve) unit: u64,
    /// True if everything was deep-persisted, and nothing has changed since.
    pub(in crate::preserve) is_sealed: bool,
}

/// The result of reading the bytes of a header.
pub(in crate::preserve) type Found = superblock::Found<Header>;

impl Header {
    pub(in crate::preserve) fn bytes(&self) -> [u8; BYTES] {
        let Self { generation, size, roots, root_tag, .. } = *self;
        let sealed = if self.is_sealed { SEALED } else { 0 };
        // Length and unit have been checked to fit.
        let (len, unit) = (self.len as u32, self.unit as u32 | sealed);
        let (magic_and_version, tag) = ([0; 12], 0);
        let fields = Fields {
            magic_and_version,
            len,
            tag,
            generation,
            size,
            root: roots[0],
            copy: roots[1],
            unit,
            root_tag,
        };
        let mut bytes = fields.to_bytes();
        superblock::seal(&mut bytes, MAGIC, VERSION);
        bytes
    }

    pub(in crate::preserve) fn read(bytes: &[u8; BYTES]) -> Found {
        superblock::read(bytes, MAGIC, VERSION, || Self::of(Fields::from_bytes(bytes)))
    }

    /// Returns the header of these fields, or `None` if they are inconsistent.
    fn of(fields: Fields) -> Option<Self> {
        let Fields { generation, size, root, copy, root_tag, unit, .. } = fields;
        let header = Self {
            generation,
            size,
            roots: [root, copy],
            len: fields.len.into(),
            root_tag,
            unit: (unit & !SEALED).into(),
            is_sealed: unit & SEALED != 0,
        };
        header.is_consistent().then_some(header)
    }

    /// Returns the next generation, or `None` if the numbers are exhausted.
    pub(in crate::preserve) fn next_generation(&self) -> Option<u64> {
        let next = self.generation + 1;
        is_count(next).then_some(next)
    }

    /// Returns true if its numbers are possible. A tag can be forged, and values computed from the numbers must neither
    /// overflow nor lead out of the store.
    fn is_consistent(&self) -> bool {
        let Self { generation, size, roots, len, unit, .. } = *self;
        let counts = generation >= FIRST && is_count(generation) && is_count(size);
        let root = (PREAMBLE as u64..=ROOT).contains(&len) && len.is_multiple_of(WORD);
        counts && is_unit(unit) && root && roots.iter().all(|at| self.holds(*at, len))
    }

    /// Returns true if a blob or a page of `len` bytes can be at offset `at`.
    pub(in crate::preserve) fn holds(&self, at: u64, len: u64) -> bool {
        at >= data(self.unit)
            && at.is_multiple_of(self.unit)
            && at.checked_add(len).is_some_and(|end| end <= self.size)
    }
}

/// Returns true if a number is below 2^63, so that counting on from it does not overflow.
fn is_count(number: u64) -> bool {
    i64::try_from(number).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Found, Header};

    const FIRST: Header = Header {
        generation: 1,
        size: 32768,
        roots: [25600, 25856],
        len: 176,
        root_tag: 7,
        unit: 64,
        is_sealed: true,
    };

    #[test]
    fn numbers_that_cannot_be_are_damage() {
        assert_eq!(Header::read(&FIRST.bytes()), Found::Whole(FIRST));
        for worn in [
            Header { generation: 0, ..FIRST },
            Header { generation: u64::MAX, ..FIRST },
            Header { size: u64::MAX, ..FIRST },
            Header { unit: 96, ..FIRST },
            Header { unit: 32, ..FIRST },
            Header { len: 168, ..FIRST },
            Header { len: 177, ..FIRST },
            Header { len: 32_952, size: 1 << 20, ..FIRST },
            Header { roots: [0, 25856], ..FIRST },
            Header { roots: [25600, 32704], ..FIRST },
            Header { roots: [25608, 25856], ..FIRST },
            Header { roots: [25600, 0_u64.wrapping_sub(64)], ..FIRST },
        ] {
            assert_eq!(Header::read(&worn.bytes()), Found::Damaged, "{worn:?}");
        }
    }
}
