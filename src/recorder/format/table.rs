//! The tables of events in the page of a descriptor.

use super::{DESCRIPTOR, PAGE};
use crate::format::layout::{Layout as _, layout};
use crate::format::tag;
use crate::medium::Readable;
use core::fmt;
use core::ops::Range;

/// The number of bytes of a page after its descriptor.
const ROOM: usize = PAGE as usize - DESCRIPTOR;
/// The length of the tag, which is before all tables.
const TAG: usize = 8;
/// The length of a table without its entries.
const HEAD: usize = 20;
/// The length of an entry without its text.
const ENTRY: usize = 4;
/// The greatest length of the entries of a table.
pub(in crate::recorder) const MOST_ENTRIES: usize = ROOM - TAG - HEAD;
/// The most entries of a page: each has a text.
pub(in crate::recorder) const ENTRIES: usize = MOST_ENTRIES / (ENTRY + 1);
/// The most tables of a page: each has an entry.
pub(in crate::recorder) const TABLES: usize = (ROOM - TAG) / (HEAD + ENTRY + 1);

layout! {
    pub(in crate::recorder) struct Head: 20 {
        /// The first opening whose events the table describes.
        0 since: u64,
        /// The last one.
        8 until: u64,
        /// Bytes of its entries.
        16 len: u32,
    }
}

/// The names of events and their fields by several openings, the newest first, as in a file.
#[derive(Clone, Copy)]
pub(in crate::recorder) struct Tables {
    bytes: [u8; ROOM],
    /// The number of used bytes; 0 without tables.
    len: usize,
}

/// A table in the bytes of all.
pub(in crate::recorder) struct Table {
    pub(in crate::recorder) head: Head,
    pub(in crate::recorder) at: usize,
    entries: Range<usize>,
}

/// An entry in the bytes of all.
#[derive(Clone, Copy)]
pub(in crate::recorder) struct Entry<'t> {
    pub(in crate::recorder) at: usize,
    pub(in crate::recorder) id: u16,
    pub(in crate::recorder) text: &'t str,
}

impl Tables {
    pub(in crate::recorder) const NONE: Self = Self { bytes: [0; ROOM], len: 0 };

    /// Reads the tables in the first `len` bytes after a page's descriptor, if their tag is valid.
    pub(in crate::recorder) fn read<S: Readable>(
        source: &S,
        page: u64,
        len: u32,
        identity: &[u8; 16],
    ) -> Option<Self> {
        let len = usize::try_from(len).ok().filter(|len| (TAG..=ROOM).contains(len))?;
        let mut tables = Self { bytes: [0; ROOM], len };
        let words = len.next_multiple_of(8);
        source.read(page + DESCRIPTOR as u64, &mut tables.bytes[..words]).ok()?;
        let (found, tag) = (tables.bytes.first_chunk()?, tables.tag(identity));
        (u64::from_le_bytes(*found) == tag).then_some(tables)
    }

    /// Adds the table of an opening, whose entries fit. If the opening before had the same entries, they share its table.
    /// The oldest tables for which no space is left are dropped.
    pub(in crate::recorder) fn add(&mut self, events: &[(u16, &str)], generation: u64) {
        let newest = self.tables().next();
        let same = newest.filter(|table| {
            let entries = self.entries(table).flatten().map(|Entry { id, text, .. }| (id, text));
            table.head.until.checked_add(1) == Some(generation)
                && entries.eq(events.iter().copied())
        });
        if let Some(Table { head, at, .. }) = same {
            return self.put_head(at, Head { until: generation, ..head });
        }
        let entries_len = entries_len(events);
        let len = HEAD + entries_len;
        let kept = self.tables().map(|table| table.entries.end).take_while(|end| end + len <= ROOM);
        let end = kept.last().unwrap_or(TAG);
        self.bytes.copy_within(TAG..end, TAG + len);
        self.len = end + len;
        let head = Head { since: generation, until: generation, len: entries_len as u32 };
        self.put_head(TAG, head);
        self.put_entries(TAG + HEAD, events);
    }

    fn put_head(&mut self, at: usize, head: Head) {
        self.bytes[at..at + HEAD].copy_from_slice(&head.to_bytes());
    }

    fn put_entries(&mut self, mut at: usize, events: &[(u16, &str)]) {
        for (id, text) in events {
            let entry = &mut self.bytes[at..at + ENTRY + text.len()];
            entry[..2].copy_from_slice(&id.to_le_bytes());
            entry[2..ENTRY].copy_from_slice(&(text.len() as u16).to_le_bytes());
            entry[ENTRY..].copy_from_slice(text.as_bytes());
            at += entry.len();
        }
    }

    /// Puts the tag before the tables and zeros after them.
    pub(in crate::recorder) fn seal(&mut self, identity: &[u8; 16]) {
        if !self.is_empty() {
            self.bytes[self.len..].fill(0);
            let tag = self.tag(identity);
            self.bytes[..TAG].copy_from_slice(&tag.to_le_bytes());
        }
    }

    /// Returns the tables. It ends before bytes that are not a table.
    pub(in crate::recorder) fn tables(&self) -> impl Iterator<Item = Table> {
        let mut at = TAG;
        core::iter::from_fn(move || {
            let table = self.table(at)?;
            at = table.entries.end;
            Some(table)
        })
    }

    /// Returns the table at an offset, unless it is longer than the bytes.
    pub(in crate::recorder) fn table(&self, at: usize) -> Option<Table> {
        let head = Head::from_bytes(self.bytes[..self.len].get(at..)?.first_chunk()?);
        let start = at + HEAD;
        let end = start.checked_add(head.len as usize).filter(|end| *end <= self.len)?;
        Some(Table { head, at, entries: start..end })
    }

    /// Returns the entries of a table. The last one is `None` if the bytes there are not an entry.
    pub(in crate::recorder) fn entries(
        &self,
        table: &Table,
    ) -> impl Iterator<Item = Option<Entry<'_>>> {
        let Range { start: mut at, end } = table.entries;
        core::iter::from_fn(move || {
            (at < end).then(|| {
                let entry = self.entry(at, end);
                at = entry.map_or(end, |entry| at + ENTRY + entry.text.len());
                entry
            })
        })
    }

    fn entry(&self, at: usize, end: usize) -> Option<Entry<'_>> {
        let ([first, second, third, fourth], rest) = self.bytes[at..end].split_first_chunk()?;
        let text = rest.get(..u16::from_le_bytes([*third, *fourth]).into())?;
        let text = core::str::from_utf8(text).ok()?;
        Some(Entry { at, id: u16::from_le_bytes([*first, *second]), text })
    }

    /// Returns the id of the entry at an offset.
    pub(in crate::recorder) fn id(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// Returns the text of the entry at an offset.
    pub(in crate::recorder) fn text(&self, at: usize) -> Option<&str> {
        self.entry(at, self.len).map(|entry| entry.text)
    }

    /// Returns true if the bytes end with a table.
    pub(in crate::recorder) fn end_with_a_table(&self) -> bool {
        self.tables().last().is_some_and(|table| table.entries.end == self.len)
    }

    pub(in crate::recorder) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(in crate::recorder) const fn len(&self) -> u32 {
        self.len as u32
    }

    /// Returns the bytes, and zeros up to a multiple of 8.
    pub(in crate::recorder) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len.next_multiple_of(8)]
    }

    fn tag(&self, identity: &[u8; 16]) -> u64 {
        tag::of(tag::of(0, identity), &self.bytes[TAG..self.len])
    }
}

/// Returns the length of the entries of a table.
pub(in crate::recorder) fn entries_len(events: &[(u16, &str)]) -> usize {
    events.iter().map(|(_, text)| ENTRY + text.len()).sum()
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |table: Table| (table.head.since, table.head.until);
        f.debug_list().entries(self.tables().map(of)).finish()
    }
}
