//! The work of reading, according to the documentation of `recorder::Reader`: at most 20 times the bytes of the
//! sub-buffers. The names and fields of the events take at most 22 times these bytes.

use super::claims::BASE;
use crate::image::Image;
use cachemaint::medium::Readable as _;
use cachemaint_recorder::{Event, EventTable, Found, Reader};

const LOOKS: u64 = 20;
/// The bytes of the page with the texts of events.
const TEXTS: u64 = 4096;
const SHOWN: u64 = 22;

/// Reading costs no more than the documented multiple of the file.
pub(super) fn is_bounded(medium: &Image) {
    let Ok(reader) = Reader::open(medium) else { return };
    let len = medium.len().saturating_sub(BASE as u64);
    let most = LOOKS * len;
    let mut buffer = vec![0; reader.largest_payload()];
    let (_, looks) = medium.cost(|_| {
        for shard in 0..reader.description().shards {
            let mut events = reader.shard(shard);
            while events.read_next(&mut buffer).unwrap().is_some() {}
        }
    });
    assert!(looks <= most, "shards: {looks} bytes were read, at most {most} are allowed");
    let (table, looks) = medium.cost(|_| reader.event_table().unwrap());
    assert!(looks <= TEXTS, "texts: {looks} bytes were read");
    let (shown, looks) = medium.cost(|_| {
        let (mut events, mut shown) = (reader.events(), 0);
        while let Some(found) = events.read_next(&mut buffer).unwrap() {
            if let Found::Event(event) = found {
                shown += described(&table, &event);
            }
        }
        shown
    });
    assert!(looks <= most, "merged: {looks} bytes were read, at most {most} are allowed");
    assert!(
        shown <= SHOWN * len,
        "{shown} bytes of names are shown, at most {} are allowed",
        SHOWN * len
    );
}

/// Returns the bytes of an event's name and of the declarations of all its fields.
fn described(table: &EventTable, event: &Event<'_>) -> u64 {
    let Some((name, mut fields)) = table.describe(event) else { return 0 };
    let read: usize = fields.by_ref().map(|(name, _)| name.len()).sum();
    (name.len() + read + fields.unread().map_or(0, str::len)) as u64
}
