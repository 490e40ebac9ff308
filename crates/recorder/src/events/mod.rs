//! The names of events and the types of their fields.

mod fields;

pub use fields::{Fields, Value};

use super::error::ErrorKind;
use super::format::{Description, MOST_BYTES, MOST_ENTRIES, bytes_of, entry};
use super::found::Event;
use cachemaint::medium::Readable;
use core::fmt;

/// The names of a recording's events and the types of their fields, as given to
/// [`Options::events`](super::Options::events) at its creation. Returned by
/// [`Reader::event_table`](super::Reader::event_table).
#[derive(Clone)]
pub struct EventTable {
    bytes: [u8; MOST_BYTES],
    /// The ids and offsets of the entries, sorted by id. Searching the page for each 24-byte event would be too much
    /// work for one file.
    entries: [(u16, u16); MOST_ENTRIES],
    count: usize,
    is_damaged: bool,
}

impl fmt::Debug for EventTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventTable").field("is_damaged", &self.is_damaged).finish_non_exhaustive()
    }
}

impl EventTable {
    /// Reads the table of a recording.
    pub(super) fn read<S: Readable>(source: &S, of: &Description) -> Self {
        let (bytes, entries) = ([0; MOST_BYTES], [(0, 0); MOST_ENTRIES]);
        let mut table = Self { bytes, entries, count: 0, is_damaged: false };
        let len = of.table.read(source, of.identity, &mut table.bytes);
        table.is_damaged = len.and_then(|len| table.index(len)).is_none();
        table
    }

    /// Indexes all entries. Returns `None` if one of them is invalid. Only the type of a field may be unknown.
    fn index(&mut self, len: usize) -> Option<()> {
        let (mut at, mut count) = (0, 0);
        while at < len {
            let (id, text, next) = entry(&self.bytes[..len], at)?;
            fields::fault_but_for_types(text).is_none().then_some(())?;
            *self.entries.get_mut(count)? = (id, at as u16);
            (at, count) = (next, count + 1);
        }
        self.entries[..count].sort_unstable();
        if self.entries[..count].windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        self.count = count;
        Some(())
    }

    /// Returns the name and the fields of an event of this recording. The fields are read from its payload. Returns
    /// `None` if the recording has no text for its id, or if the texts are damaged.
    ///
    /// # Cost
    /// A binary search. The name and the fields are parts of a text of at most 512 bytes.
    #[must_use]
    pub fn describe<'e>(&'e self, event: &Event<'e>) -> Option<(&'e str, Fields<'e>)> {
        let entries = &self.entries[..self.count];
        let place = entries.binary_search_by_key(&event.id, |(id, _)| *id).ok()?;
        let (_, text, _) = entry(&self.bytes, entries[place].1.into())?;
        let (name, fields) = fields::parts(text);
        Some((name, Fields::new(fields, event.payload)))
    }

    /// Returns true if the texts are damaged or unreadable. Events then have only their ids.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.is_damaged
    }
}

/// Checks the texts that a program provides.
pub(super) fn check<E>(events: &[(u16, &str)]) -> Result<(), ErrorKind<E>> {
    for (place, (id, text)) in events.iter().enumerate() {
        let is_second = events[..place].iter().any(|(other, _)| other == id);
        let second = is_second.then_some("another entry has the same id");
        if let Some(what) = second.or_else(|| fields::fault(text)) {
            return Err(ErrorKind::BadEvent { id: *id, what });
        }
    }
    let (len, most) = (bytes_of(events), MOST_BYTES);
    if len > most { Err(ErrorKind::EventsTooLong { len, most }) } else { Ok(()) }
}
