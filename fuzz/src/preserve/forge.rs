//! Changes of a store by its format.

use super::claims::harm::Harm;
use super::claims::lives::{DATA, Lived};
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
    /// A field of a root before its entries or children.
    Table {
        copy: Copy,
        field: u8,
        value: Value,
    },
    /// A field of an entry or child of a page.
    Part {
        copy: Copy,
        page: u8,
        part: u8,
        field: u8,
        value: Value,
    },
    /// A table with many entries, whose blobs or regions are as long, a stride behind each other.
    Entries {
        at: u8,
        count: u8,
        stride: u8,
        len: Length,
        first: u8,
        content: u8,
    },
    /// A root with many children, a stride behind each other.
    Children {
        at: u8,
        count: u8,
        stride: u8,
        len: u8,
        first: u8,
        level: u8,
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
const CHILD: usize = 28;
/// Pages of a table that are looked at.
const PAGES: usize = 100;

impl Edit {
    pub(super) fn apply(&self, lived: Option<&Lived>, image: &mut Vec<u8>) {
        match *self {
            Self::Word { at, word } => {
                let place = super::meaningful(image, at.into());
                put(image, place, word);
            }
            Self::Header { which, field, value } => {
                for at in which.of(image) {
                    number(image, at + 8, at + 64, field, value);
                }
            }
            Self::Table { copy, field, value } => {
                for root in copy.of(image) {
                    number(image, root + 8, root + 48, field, value);
                }
            }
            Self::Part { copy, page, part, field, value } => {
                for root in copy.of(image) {
                    let pages = pages(image, root);
                    let page = &pages[usize::from(page) % pages.len()];
                    let parts = page.parts(image);
                    if let Some(at) = parts.get(usize::from(part) % parts.len().max(1)) {
                        let len = if page.level == 0 { ENTRY } else { CHILD };
                        number(image, *at, at + len, field, value);
                    }
                }
            }
            Self::Entries { at, count, stride, len, first, content } => {
                let generation = u64_at(image, newest(image) + 24);
                let parts = (0..count).flat_map(|number| {
                    let offset = place(first, stride, number);
                    let rest = image.len().saturating_sub(offset as usize) as u64;
                    let words = [offset, len.of(rest), 0, generation, 0, 0];
                    let lens_and_name =
                        [2, content, 0, 0, b'a' + number / 16, b'a' + number % 16, 0, 0];
                    [words.map(u64::to_le_bytes).as_flattened(), &lens_and_name].concat()
                });
                let parts = parts.collect::<Vec<_>>();
                put_root(image, DATA + usize::from(at) * 64, 0, count, &parts);
            }
            Self::Children { at, count, stride, len, first, level } => {
                let parts = (0..count).flat_map(|number| {
                    let offset = place(first, stride, number);
                    let name = [b'a' + number / 16, b'a' + number % 16, 0, 0];
                    let (lens, name) = if number == 0 { (0, [0; 4]) } else { (2, name) };
                    let lens = [len.wrapping_mul(8), len / 32, lens, 0];
                    let words = [offset, offset, 0].map(u64::to_le_bytes);
                    [words.as_flattened(), &lens, &name].concat()
                });
                let parts = parts.collect::<Vec<_>>();
                put_root(image, DATA + usize::from(at) * 64, level % 4 + 1, count, &parts);
            }
            Self::Damage(harm) => {
                if let Some(lived) = lived {
                    harm.apply(lived, image);
                    // The damaged places are those of an undamaged store.
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
    /// Returns the places of roots of the newest header.
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

/// Returns the place of a forged blob or page.
fn place(first: u8, stride: u8, number: u8) -> u64 {
    DATA as u64 + 64 * (u64::from(first) + u64::from(number) * u64::from(stride))
}

/// Puts a root with forged parts to a place, and makes it that of the newest header.
fn put_root(image: &mut [u8], at: usize, level: u8, count: u8, parts: &[u8]) {
    let header = newest(image);
    let root = u64_at(image, header + 40) as usize;
    let Some(preamble) = image.get(root..root.saturating_add(PREAMBLE)) else { return };
    let mut bytes = preamble.to_vec();
    bytes[42..48].copy_from_slice(&[level, 0, count, 0, 0, 0]);
    bytes.extend(parts);
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

/// The entries or children of a page.
struct Page {
    level: u64,
    start: usize,
    end: usize,
}

/// Returns the pages of a table, by the first copy of each.
fn pages(image: &[u8], root: usize) -> Vec<Page> {
    let len = u32_at(image, newest(image) + 12) as usize;
    let level = u16_at(image, root + 42) as u64;
    let end = root.saturating_add(len).min(image.len());
    let mut pages = vec![Page { level, start: root + PREAMBLE, end }];
    let mut next = 0;
    while let Some(page) = pages.get(next) {
        let level = page.level.saturating_sub(1);
        let parts = if page.level == 0 { Vec::new() } else { page.parts(image) };
        for child in parts.into_iter().take(PAGES.saturating_sub(pages.len())) {
            let start = image.len().min(u64_at(image, child) as usize);
            let end = image.len().min(start + u16_at(image, child + 24));
            pages.push(Page { level, start, end });
        }
        next += 1;
    }
    pages
}

impl Page {
    fn parts(&self, image: &[u8]) -> Vec<usize> {
        let mut parts = Vec::new();
        let mut at = self.start;
        let least = if self.level == 0 { ENTRY } else { CHILD };
        while at + least <= self.end {
            parts.push(at);
            let more = match self.level {
                0 => u16_at(image, at + 48) + u16_at(image, at + 50),
                _ => u16_at(image, at + 26),
            };
            at += (least + more).next_multiple_of(8);
        }
        parts
    }
}

fn u16_at(image: &[u8], at: usize) -> usize {
    u64_at(image, at) as usize & 0xffff
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
