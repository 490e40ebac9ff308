//! Changes of a store by its format.

use super::claims::{DATA, Harm, Lived};
use super::seal;
use crate::value::{Length, Value};
use arbitrary::Arbitrary;

/// A change of a store.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Edit {
    Word {
        at: u16,
        word: u64,
    },
    /// A field of some headers.
    Header {
        which: Headers,
        field: u8,
        value: Value,
    },
    /// A field of a table before its entries.
    Table {
        copy: Copy,
        field: u8,
        value: Value,
    },
    /// A field of an entry.
    Entry {
        copy: Copy,
        entry: u8,
        field: u8,
        value: Value,
    },
    /// A table with many entries, whose blobs are as long, a stride behind each other.
    Entries {
        at: u8,
        count: u8,
        stride: u8,
        len: Length,
        first: u8,
    },
    Damage(Harm),
    /// Correct tags of everything.
    Seal,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Headers {
    One(u8),
    /// Both copies of the newer one.
    Newer,
    All,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Copy {
    First,
    Second,
    Both,
}

const UNIT: u64 = 64;
const HEADERS: [usize; 4] = [0, 4096, 8192, 12_288];
const PREAMBLE: usize = 176;
const ENTRY: usize = 52;

impl Edit {
    pub(super) fn apply(&self, lived: Option<&Lived>, image: &mut Vec<u8>) {
        match *self {
            Self::Word { at, word } => {
                let places: Vec<usize> = super::meaningful(image).collect();
                put(image, places[usize::from(at) % places.len()], word);
            }
            Self::Header { which, field, value } => {
                for at in which.of(image) {
                    number(image, at + 8, at + 64, field, value);
                }
            }
            Self::Table { copy, field, value } => {
                for table in copy.of(image) {
                    number(image, table + 8, table + 48, field, value);
                }
            }
            Self::Entry { copy, entry, field, value } => {
                for table in copy.of(image) {
                    let count = u32_at(image, table + 44).max(1);
                    let before = 0..u64::from(entry) % count;
                    let at = before.fold(table + PREAMBLE, |at, _| at + entry_len(image, at));
                    number(image, at, at + ENTRY, field, value);
                }
            }
            Self::Entries { at, count, stride, len, first } => {
                entries(image, DATA + usize::from(at) * 64, count, stride, len, first);
            }
            Self::Damage(harm) => {
                if let Some(lived) = lived {
                    harm.apply(lived, image);
                    // Its places are those of an undamaged store.
                    image.resize(lived.image.len(), 0);
                }
            }
            Self::Seal => seal::seal(image),
        }
    }
}

impl Headers {
    fn of(self, image: &[u8]) -> Vec<usize> {
        match self {
            Self::One(at) => vec![HEADERS[usize::from(at) % 4]],
            Self::Newer => vec![newest(image), newest(image) + 8192],
            Self::All => HEADERS.to_vec(),
        }
    }
}

impl Copy {
    /// Returns the places of tables of the newest header.
    fn of(self, image: &[u8]) -> Vec<usize> {
        let fields: &[usize] = match self {
            Self::First => &[40],
            Self::Second => &[48],
            Self::Both => &[40, 48],
        };
        let tables = fields.iter().map(|field| u64_at(image, newest(image) + field) as usize);
        tables.filter(|table| table.saturating_add(PREAMBLE) <= image.len()).collect()
    }
}

/// Returns the place of the newest header, of those in their first place.
fn newest(image: &[u8]) -> usize {
    if u64_at(image, 4096 + 24) > u64_at(image, 24) { 4096 } else { 0 }
}

/// Changes a number of 2, 4 or 8 bytes between two places.
fn number(image: &mut [u8], start: usize, end: usize, field: u8, value: Value) {
    let fields = (end - start) / 4;
    let at = start + usize::from(field) % fields * 4;
    let old = u64_at(image, at);
    let new = value.of(old, UNIT);
    let bits = [16, 32, 64, 64][usize::from(field >> 6)];
    let mask = if bits == 64 && at + 8 <= end { u64::MAX } else { (1 << bits.min(32)) - 1 };
    put(image, at, old & !mask | new & mask);
}

/// Puts a table with forged entries to a place, and makes it that of the newest header.
fn entries(image: &mut [u8], at: usize, count: u8, stride: u8, len: Length, first: u8) {
    let header = newest(image);
    let table = u64_at(image, header + 40) as usize;
    let Some(preamble) = image.get(table..table.saturating_add(PREAMBLE)) else { return };
    let mut bytes = preamble.to_vec();
    bytes[44..48].copy_from_slice(&u32::from(count).to_le_bytes());
    let generation = u64_at(image, header + 24);
    for number in 0..count {
        let offset = DATA + 64 * (usize::from(first) + usize::from(number) * usize::from(stride));
        let rest = image.len().saturating_sub(offset) as u64;
        let words = [offset as u64, len.of(rest), 0, generation, 0, 0];
        bytes.extend(words.map(u64::to_le_bytes).as_flattened());
        bytes.extend([2, 0, 0, 0, b'a' + number / 16, b'a' + number % 16, 0, 0]);
    }
    let end = at + bytes.len();
    if end > image.len() {
        return;
    }
    image[at..end].copy_from_slice(&bytes);
    for header in [header, header + 8192] {
        put(image, header + 40, at as u64);
        put(image, header + 48, at as u64);
        image[header + 12..header + 16].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    }
}

fn entry_len(image: &[u8], at: usize) -> usize {
    let lengths = u32_at(image, at + 48) as usize;
    (ENTRY + (lengths & 0xffff) + (lengths >> 16)).next_multiple_of(8)
}

fn u32_at(image: &[u8], at: usize) -> u64 {
    u64_at(image, at) & 0xffff_ffff
}

fn u64_at(image: &[u8], at: usize) -> u64 {
    let bytes = image.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn put(image: &mut [u8], at: usize, word: u64) {
    if let Some(to) = image.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *to = word.to_le_bytes();
    }
}
