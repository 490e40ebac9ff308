//! The names of events and the types of their fields.

mod fields;
mod texts;

pub use fields::{Fields, Value};
pub(super) use texts::Texts;

use super::Event;

/// The names of a recording's events and the types of their fields, as [`Options::events`](super::Options::events) had
/// them: see [`Reader::event_table`](super::Reader::event_table).
#[derive(Clone, Debug)]
pub struct EventTable {
    /// The texts in the pages of both descriptors, if their tables are valid.
    pub(super) texts: [Option<Texts>; 2],
    pub(super) is_damaged: bool,
}

impl EventTable {
    /// Returns the name and the fields of an event of this recording. The fields are read from its payload. `None` if the opening that recorded it had no
    /// table, if the table does not have its id, and if the table is damaged or was dropped.
    ///
    /// # Cost
    /// Two binary searches in the tables of each of two pages. Name and fields are parts of a text of at most 512 bytes.
    #[must_use]
    pub fn describe<'e>(&'e self, event: &Event<'e>) -> Option<(&'e str, Fields<'e>)> {
        if event.id >= Event::RESERVED {
            return None;
        }
        let mut pages = self.texts.iter().flatten();
        let text = pages.find_map(|texts| texts.get(event.generation, event.id))?;
        let (name, fields) = fields::parts(text);
        Some((name, Fields::new(fields, event.payload)))
    }

    /// Returns true if a table is damaged or cannot be read, or may be lost with the descriptor in its page.
    ///
    /// A table with a valid tag is damaged as well if [`Options::events`](super::Options::events) would refuse one of its
    /// entries. Only an unknown type is accepted, since a later version may know it. All names in the page of a damaged
    /// table are left out.
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

/// Returns true if this version or a later one can have written an entry: a later version may know more types.
fn is_possible(id: u16, text: &str) -> bool {
    id < Event::RESERVED && fields::fault_but_for_types(text).is_none()
}
