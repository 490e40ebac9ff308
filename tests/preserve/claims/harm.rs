//! Damage to bytes of one kind, and the places of these bytes.

use super::CHUNK;
use super::lives::{Lived, noise};
use cachemaint::preserve::{Content, Info};
use core::ops::Range;

/// The offset of a blob's list of tags, by the documentation of the format. A region has none.
pub(super) fn tags(info: &Info) -> Range<u64> {
    if info.content == Content::Region {
        return info.offset + info.len..info.offset + info.len;
    }
    let chunks = info.len.div_ceil(CHUNK);
    let at = info.offset + info.len.next_multiple_of(8);
    if chunks > 1 { at..at + 8 * chunks } else { at..at }
}

/// A page of the table, and the pages below it.
pub(super) struct Page {
    pub(super) copies: [Range<u64>; 2],
    /// Of its own entries.
    pub(super) names: Vec<String>,
    pub(super) below: Vec<Page>,
}

impl Lived {
    /// Returns both copies of the current header.
    pub(super) fn headers(&self) -> [Range<u64>; 2] {
        let at = self.generation % 2 * 4096;
        [at, at + 8192].map(|at| at..at + 64)
    }

    fn word(&self, at: u64) -> u64 {
        u64::from_le_bytes(*self.image[at as usize..].first_chunk().unwrap())
    }

    /// Both copies of the table's root.
    pub(super) fn roots(&self) -> [Range<u64>; 2] {
        let header = self.headers()[0].start;
        let len = self.word(header + 8) >> 32;
        [40, 48].map(|at| self.word(header + at)).map(|at| at..at + len)
    }

    /// The table, from its root on.
    pub(super) fn table(&self) -> Page {
        let copies = self.roots();
        let level = self.word(copies[0].start + 40) >> 16 & 0xffff;
        self.page(copies, 176, level)
    }

    /// A page whose entries or children begin at its byte `at`.
    fn page(&self, copies: [Range<u64>; 2], at: u64, level: u64) -> Page {
        let (mut at, end) = (copies[0].start + at, copies[0].end);
        let (mut names, mut below) = (Vec::new(), Vec::new());
        while at < end {
            let lens = self.word(at + if level == 0 { 48 } else { 24 });
            let (first, second) = (lens & 0xffff, lens >> 16 & 0xffff);
            if level == 0 {
                // The byte after the length of the name is 1 for a region.
                let first = first & 0xff;
                let name = &self.image[at as usize + 52..][..first as usize];
                names.push(String::from_utf8(name.to_vec()).unwrap());
                at += (52 + first + second).next_multiple_of(8);
            } else {
                let places = [0, 8].map(|copy| self.word(at + copy));
                below.push(self.page(places.map(|at| at..at + first), 0, level - 1));
                at += (28 + second).next_multiple_of(8);
            }
        }
        Page { copies, names, below }
    }

    /// Both copies of each page of the table.
    pub(crate) fn tables(&self) -> Vec<Range<u64>> {
        let mut copies = Vec::new();
        let mut pages = vec![self.table()];
        while let Some(page) = pages.pop() {
            copies.extend(page.copies);
            pages.extend(page.below);
        }
        copies
    }

    /// The history that holds.
    pub(super) fn history(&self) -> Range<u64> {
        let root = self.roots()[0].start;
        let at = 16_384 + self.word(root + 24) % 2 * 4608;
        at..at + (self.word(root + 40) & 0xffff)
    }
}

/// The place of the harm.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Area {
    Headers,
    Tables,
    History,
    Blob(u8),
    Anywhere,
}

/// The kind of the harm.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Kind {
    Bit(u8),
    Zeros(u16),
    Ones(u16),
    /// Bytes that are made of the seed: to choose them would be to forge tags.
    Noise(u16, u32),
    /// A copy of bytes from elsewhere.
    Copy(u16, u32),
    /// The end is missing from there on.
    Cut,
}

/// Damage. Places are counted in bytes, round and round.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) struct Harm {
    pub(crate) area: Area,
    pub(crate) at: u32,
    pub(crate) kind: Kind,
}

impl Harm {
    pub(crate) fn apply(&self, lived: &Lived, image: &mut Vec<u8>) {
        let within = |range: Range<u64>| {
            let len = (range.end - range.start).max(1);
            range.start + u64::from(self.at) % len
        };
        let at = match self.area {
            Area::Headers => u64::from(self.at / 64 % 4 * 4096 + self.at % 64),
            Area::Tables => {
                let tables = lived.tables();
                within(tables[self.at as usize / 2 % tables.len()].clone())
            }
            Area::History => within(lived.history()),
            Area::Blob(_) if lived.places.is_empty() => return,
            Area::Blob(which) => {
                within(lived.places[usize::from(which) % lived.places.len()].clone())
            }
            Area::Anywhere => within(0..lived.image.len() as u64),
        } as usize;
        let rest = image.len().saturating_sub(at);
        let range = |len: u16| at..at + rest.min(len.into());
        match self.kind {
            _ if rest == 0 => {}
            Kind::Bit(bit) => image[at] ^= 1 << (bit % 8),
            Kind::Zeros(len) => image[range(len)].fill(0),
            Kind::Ones(len) => image[range(len)].fill(0xff),
            Kind::Noise(len, seed) => {
                for (byte, at) in image[range(len)].iter_mut().zip(0..) {
                    *byte = noise(seed.into(), at) as u8;
                }
            }
            Kind::Copy(len, from) => {
                let from = from as usize % image.len();
                let len = range(len).len().min(image.len() - from);
                image.copy_within(from..from + len, at);
            }
            Kind::Cut => image.truncate(at / 8 * 8),
        }
    }
}
