//! What all shards have, by time.

use super::Reader;
use super::shard::{Events, Found};
use crate::medium::Readable;

/// The events of several shards, merged by the time at which they were recorded.
///
/// Shards are in order in themselves; of events of the same time, that of the lower shard comes first.
#[derive(Debug)]
pub struct Merged<L> {
    shards: L,
}

impl<S: Readable> Reader<S> {
    /// What all shards have, by time.
    ///
    /// # Cost
    /// Each step looks at all shards; each event is verified twice.
    #[cfg(feature = "std")]
    pub fn events(&self) -> Merged<alloc::vec::Vec<Events<'_, S>>> {
        Merged { shards: (0..self.description.shards()).map(|shard| self.shard(shard)).collect() }
    }
}

impl<L> Merged<L> {
    /// Merges these shards; nothing is allocated.
    pub const fn of(shards: L) -> Self {
        Self { shards }
    }

    /// The next event of all shards, or what is between it and the one before of its shard. Payloads go to
    /// the buffer.
    ///
    /// # Panics
    /// If the buffer is shorter than [`Reader::largest_payload`].
    #[track_caller]
    pub fn next<'b, 'r, S>(&mut self, buffer: &'b mut [u8]) -> Option<Found<'b>>
    where
        L: AsMut<[Events<'r, S>]>,
        S: Readable + 'r,
    {
        let shards = self.shards.as_mut().iter_mut();
        let due = shards.filter_map(|events| Some((events.time()?, events)));
        let (_, first) = due.min_by_key(|(time, _)| *time)?;
        first.next(buffer)
    }
}
