//! The bytes of a header: a line, whose replacement is what commits.

use super::page::ROOT;
use super::table::PREAMBLE;
use super::{WORD, data, is_unit};
#[cfg(any(feature = "preserve", test))]
use crate::format::fields::put;
use crate::format::fields::{u32_at, u64_at};
use crate::format::superblock;

/// Bytes of a header.
pub(in crate::preserve) const BYTES: usize = 64;
/// What it begins with.
pub(in crate::preserve) const MAGIC: [u8; 8] = *b"cmpresrv";
/// The version of the format.
pub(in crate::preserve) const VERSION: u32 = 3;

/// Added to the unit, which is even.
const SEALED: u32 = 1;

/// The root of the table, and the numbers needed to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preserve) struct Header {
    /// How often a header was written; the higher one holds.
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
    /// Whether everything was written back as far as it goes, and nothing changed since.
    pub(in crate::preserve) is_sealed: bool,
}

/// What the bytes of a header are.
pub(in crate::preserve) type Found = superblock::Found<Header>;

impl Header {
    #[cfg(any(feature = "preserve", test))]
    pub(in crate::preserve) fn bytes(&self) -> [u8; BYTES] {
        let Self { generation, size, roots, len, root_tag, unit, is_sealed } = *self;
        let mut bytes = [0; BYTES];
        // Length and unit have been checked to fit.
        put(&mut bytes, 12, &(len as u32).to_le_bytes());
        put(&mut bytes, 24, &generation.to_le_bytes());
        put(&mut bytes, 32, &size.to_le_bytes());
        put(&mut bytes, 40, &roots[0].to_le_bytes());
        put(&mut bytes, 48, &roots[1].to_le_bytes());
        let sealed = if is_sealed { SEALED } else { 0 };
        put(&mut bytes, 56, &(unit as u32 | sealed).to_le_bytes());
        put(&mut bytes, 60, &root_tag.to_le_bytes());
        superblock::seal(&mut bytes, MAGIC, VERSION);
        bytes
    }

    pub(in crate::preserve) fn read(bytes: &[u8; BYTES]) -> Found {
        superblock::read(bytes, MAGIC, VERSION, || Self::fields(bytes))
    }

    /// Reads the fields; `None` if they cannot be a header's.
    fn fields(bytes: &[u8; BYTES]) -> Option<Self> {
        let unit = u32_at(bytes, 56);
        let header = Self {
            generation: u64_at(bytes, 24),
            size: u64_at(bytes, 32),
            roots: [u64_at(bytes, 40), u64_at(bytes, 48)],
            len: u32_at(bytes, 12).into(),
            root_tag: u32_at(bytes, 60),
            unit: (unit & !SEALED).into(),
            is_sealed: unit & SEALED != 0,
        };
        header.is_consistent().then_some(header)
    }

    /// The generation after it; `None` if there are no numbers left.
    #[cfg(feature = "preserve")]
    pub(in crate::preserve) fn next_generation(&self) -> Option<u64> {
        let next = self.generation + 1;
        is_count(next).then_some(next)
    }

    /// Returns true if its numbers are possible. A tag can be forged, and what is counted on from the numbers must
    /// neither overflow nor lead out of the store.
    fn is_consistent(&self) -> bool {
        let Self { generation, size, roots, len, unit, .. } = *self;
        let counts = is_count(generation) && is_count(size);
        let root = (PREAMBLE as u64..=ROOT).contains(&len) && len.is_multiple_of(WORD);
        counts && is_unit(unit) && root && roots.iter().all(|at| self.holds(*at, len))
    }

    /// Returns true if so many bytes from a place on can be a blob's or a page's.
    pub(in crate::preserve) fn holds(&self, at: u64, len: u64) -> bool {
        at >= data(self.unit)
            && at.is_multiple_of(self.unit)
            && at.checked_add(len).is_some_and(|end| end <= self.size)
    }
}

/// Whether it is below 2^63, so that it can be counted on from.
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
