//! The names of events and the types of their fields.

mod fields;

pub use fields::{Fields, Value};

use super::Event;
use super::format::Tables;

/// The names of a recording's events and the types of their fields, as [`Options::events`](super::Options::events) had
/// them: see [`Reader::event_table`](super::Reader::event_table).
#[derive(Clone, Debug)]
pub struct EventTable {
    /// The tables in the pages of both descriptors, if they are valid.
    pub(super) tables: [Option<Tables>; 2],
    pub(super) is_damaged: bool,
}

impl EventTable {
    /// Returns the name and the fields of an event of this recording. The fields are read from its payload. `None` if the opening that recorded it had no
    /// table, if the table does not have its id, and if the table is damaged or was dropped.
    ///
    /// # Cost
    /// A search through two pages at most.
    #[must_use]
    pub fn describe<'e>(&'e self, event: &Event<'e>) -> Option<(&'e str, Fields<'e>)> {
        if event.id >= Event::RESERVED {
            return None;
        }
        let mut pages = self.tables.iter().flatten();
        let text = pages.find_map(|tables| tables.text(event.generation, event.id))?;
        let (name, fields) = fields::parts(text);
        Some((name, Fields::new(fields, event.payload)))
    }

    /// Returns true if a table is damaged or cannot be read, or may be lost with the descriptor in its page.
    ///
    /// A lost descriptor is normal after a crash in the middle of an opening: see
    /// [`Reader::is_descriptor_lost`](super::Reader::is_descriptor_lost). It is not damage here if the recording had no
    /// tables before, and no events of that opening.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.is_damaged
    }
}

/// Returns the fault of an entry of a table that a program gives.
pub(super) fn fault(id: u16, text: &str) -> Option<&'static str> {
    if id >= Event::RESERVED {
        return Some("ids from 65280 on are reserved");
    }
    fields::fault(text)
}
