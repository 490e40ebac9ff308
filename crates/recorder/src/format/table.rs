//! The texts of events, in their own page.

use super::{PAGE, TEXTS};
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::identity::Identity;
use cachemaint_format::tag::{self, Kind};

/// The length of an entry without its text.
const ENTRY: usize = 4;
/// The largest size of all entries in bytes.
pub(crate) const MOST_BYTES: usize = PAGE as usize;
/// The largest number of entries: each has a text.
pub(crate) const MOST_ENTRIES: usize = MOST_BYTES / (ENTRY + 1);

/// The length and the tag of all entries, as a root states them. Without entries, both are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) len: u64,
    pub(crate) tag: u64,
}

impl Table {
    /// Returns the table of these entries, which fit.
    pub(crate) fn of(events: &[(u16, &str)], identity: Identity) -> Self {
        if events.is_empty() {
            return Self { len: 0, tag: 0 };
        }
        let (bytes, len) = put(events);
        Self { len: len as u64, tag: tag_of(&bytes[..len], identity) }
    }

    /// Writes the entries of a new recording, and issues their write-back.
    pub(crate) fn write<M: Medium>(medium: &M, events: &[(u16, &str)]) -> Result<(), M::Error> {
        let (bytes, len) = put(events);
        medium.copy_unfenced(&[(TEXTS, &bytes[..len.next_multiple_of(8)])])
    }

    /// Reads the bytes of all entries, if they match this table. Returns their number.
    pub(crate) fn read<S: Readable>(
        self,
        source: &S,
        identity: Identity,
        bytes: &mut [u8; MOST_BYTES],
    ) -> Option<usize> {
        let len = usize::try_from(self.len).ok().filter(|len| *len <= MOST_BYTES)?;
        if len == 0 {
            return Some(0);
        }
        source.read(TEXTS, &mut bytes[..len.next_multiple_of(8)]).ok()?;
        (tag_of(&bytes[..len], identity) == self.tag).then_some(len)
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

/// Returns the id and the text of the entry at an offset, and the offset after it, if there is an entry.
pub(crate) fn entry(bytes: &[u8], at: usize) -> Option<(u16, &str, usize)> {
    let (head, rest) = bytes.get(at..)?.split_first_chunk::<ENTRY>()?;
    let [id, len] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_le_bytes);
    let text = rest.get(..len.into())?;
    Some((id, core::str::from_utf8(text).ok()?, at + ENTRY + text.len()))
}

/// Returns the bytes of all entries.
pub(crate) fn bytes_of(events: &[(u16, &str)]) -> usize {
    events.iter().map(|(_, text)| ENTRY + text.len()).sum()
}

fn tag_of(entries: &[u8], identity: Identity) -> u64 {
    tag::of(tag::key(identity, 0, 0, Kind::Texts), entries)
}
