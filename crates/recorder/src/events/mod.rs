//! The names of events and the types of their fields.

mod fields;

pub use fields::{Fields, Value};

use super::format::{Entries, MOST_BYTES, bytes_of};
use super::{ErrorKind, Event};

/// The names of a recording's events and the types of their fields, as [`Options::events`](super::Options::events) had
/// them at its creation: see [`Reader::event_table`](super::Reader::event_table).
#[derive(Clone, Debug)]
pub struct EventTable {
    /// `None` if they are damaged.
    pub(super) entries: Option<Entries>,
}

impl EventTable {
    /// Returns the table of these entries, unless one of them is wrong. Only the type of a field may be unknown.
    pub(super) fn new(entries: Option<Entries>) -> Self {
        let is_possible = |(id, text): (u16, &str)| {
            id < Event::RESERVED && fields::fault_but_for_types(text).is_none()
        };
        Self { entries: entries.filter(|entries| entries.iter().all(is_possible)) }
    }

    /// Returns the name and the fields of an event of this recording. The fields are read from its payload. `None` if the
    /// recording has no text for its id, or if the texts are damaged.
    ///
    /// # Cost
    /// A binary search. Name and fields are parts of a text of at most 512 bytes.
    #[must_use]
    pub fn describe<'e>(&'e self, event: &Event<'e>) -> Option<(&'e str, Fields<'e>)> {
        let (name, fields) = fields::parts(self.entries.as_ref()?.get(event.id)?);
        Some((name, Fields::new(fields, event.payload)))
    }

    /// Returns true if the texts are damaged or cannot be read: events have only their ids then.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.entries.is_none()
    }
}

/// Checks the texts that a program gives.
pub(super) fn check<E>(events: &[(u16, &str)]) -> Result<(), ErrorKind<E>> {
    for (place, (id, text)) in events.iter().enumerate() {
        let is_second = events[..place].iter().any(|(other, _)| other == id);
        let what = match *id {
            Event::RESERVED.. => Some("ids from 65280 on are reserved"),
            _ if is_second => Some("another entry has the same id"),
            _ => fields::fault(text),
        };
        if let Some(what) = what {
            return Err(ErrorKind::BadEvent { id: *id, what });
        }
    }
    let (len, most) = (bytes_of(events), MOST_BYTES);
    if len > most { Err(ErrorKind::EventsTooLong { len, most }) } else { Ok(()) }
}
