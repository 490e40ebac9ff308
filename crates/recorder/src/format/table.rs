//! The texts of events, in a page of their own.

use super::PAGE;
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::identity::Identity;
use cachemaint_format::root;
use cachemaint_format::tag::{self, Kind};
use core::fmt;

/// The place of the texts.
const TEXTS: u64 = root::BYTES;
/// The length of an entry without its text.
const ENTRY: usize = 4;
/// The most bytes of all entries.
pub(crate) const MOST_BYTES: usize = PAGE as usize;
/// The most entries: each has a text.
const MOST_ENTRIES: usize = MOST_BYTES / (ENTRY + 1);

/// The length and the tag of all entries, as a root states them. No entries have the length 0 and the tag 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) len: u32,
    pub(crate) tag: u64,
}

impl Table {
    /// Returns the table of these entries, which fit.
    pub(crate) fn of(events: &[(u16, &str)], identity: Identity) -> Self {
        if events.is_empty() {
            return Self { len: 0, tag: 0 };
        }
        let (bytes, len) = put(events);
        Self { len: len as u32, tag: tag_of(&bytes[..len], identity) }
    }

    /// Writes the entries of a new recording, and issues their write-back.
    pub(crate) fn write<M: Medium>(medium: &M, events: &[(u16, &str)]) -> Result<(), M::Error> {
        let (bytes, len) = put(events);
        medium.copy_unfenced(&[(TEXTS, &bytes[..len.next_multiple_of(8)])])
    }

    /// Reads the entries, if they are those of this table and one is behind the other.
    pub(crate) fn read<S: Readable>(self, source: &S, identity: Identity) -> Option<Entries> {
        let len = usize::try_from(self.len).ok().filter(|len| *len <= MOST_BYTES)?;
        let mut entries = Entries { bytes: [0; MOST_BYTES], at: [0; MOST_ENTRIES], count: 0 };
        if len == 0 {
            return Some(entries);
        }
        source.read(TEXTS, &mut entries.bytes[..len.next_multiple_of(8)]).ok()?;
        (tag_of(&entries.bytes[..len], identity) == self.tag).then_some(())?;
        let mut at = 0;
        while at < len {
            let (_, text) = entry(&entries.bytes[..len], at)?;
            *entries.at.get_mut(entries.count)? = at as u16;
            (at, entries.count) = (at + ENTRY + text.len(), entries.count + 1);
        }
        entries.index()?;
        Some(entries)
    }
}

/// All entries, and an index of them. Without it an event of 24 bytes would cost a search of the page.
#[derive(Clone)]
pub(crate) struct Entries {
    bytes: [u8; MOST_BYTES],
    /// The offsets of the entries, in the order of their ids.
    at: [u16; MOST_ENTRIES],
    count: usize,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Entries {
    /// Sorts the index. Returns `None` if two entries have the same id.
    fn index(&mut self) -> Option<()> {
        let Self { bytes, at, count } = self;
        let id = |at: &u16| id(bytes, (*at).into());
        let at = &mut at[..*count];
        at.sort_unstable_by_key(id);
        at.windows(2).all(|pair| id(&pair[0]) != id(&pair[1])).then_some(())
    }

    /// Returns each id and its text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &str)> {
        self.at[..self.count].iter().filter_map(|at| entry(&self.bytes, (*at).into()))
    }

    /// Returns the text of an id.
    pub(crate) fn get(&self, of: u16) -> Option<&str> {
        let at = &self.at[..self.count];
        let place = at.binary_search_by_key(&of, |at| id(&self.bytes, (*at).into())).ok()?;
        entry(&self.bytes, at[place].into()).map(|(_, text)| text)
    }
}

/// Returns the bytes of the entries, and their number.
fn put(events: &[(u16, &str)]) -> ([u8; MOST_BYTES], usize) {
    let (mut bytes, mut at) = ([0; MOST_BYTES], 0);
    for (id, text) in events {
        let entry = &mut bytes[at..at + ENTRY + text.len()];
        entry[..2].copy_from_slice(&id.to_le_bytes());
        entry[2..ENTRY].copy_from_slice(&(text.len() as u16).to_le_bytes());
        entry[ENTRY..].copy_from_slice(text.as_bytes());
        at += entry.len();
    }
    (bytes, at)
}

/// Returns the entry at an offset, if one is there.
fn entry(bytes: &[u8], at: usize) -> Option<(u16, &str)> {
    let ([_, _, low, high], rest) = bytes.get(at..)?.split_first_chunk()?;
    let text = rest.get(..u16::from_le_bytes([*low, *high]).into())?;
    Some((id(bytes, at), core::str::from_utf8(text).ok()?))
}

fn id(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Returns the bytes of all entries.
pub(crate) fn bytes_of(events: &[(u16, &str)]) -> usize {
    events.iter().map(|(_, text)| ENTRY + text.len()).sum()
}

fn tag_of(entries: &[u8], identity: Identity) -> u64 {
    tag::of(tag::key(identity, 0, 0, Kind::Texts), entries)
}
