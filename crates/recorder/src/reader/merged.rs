//! The events of all shards, merged by opening, then by time.

use super::Reader;
use super::shard::Events;
use crate::error::Error;
use crate::found::Found;
use alloc::collections::BinaryHeap;
use alloc::collections::binary_heap::PeekMut;
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use core::cmp::Reverse;

/// The events of all shards, merged by the opening that recorded them, then by timestamp, then by shard.
///
/// The events of a shard keep their order. Events of a later opening come after those of an earlier one, whatever their
/// times: the clock may have restarted or been set back.
#[derive(Debug)]
pub struct Merged<'r, S> {
    shards: Vec<Events<'r, S>>,
    /// The opening, the time and the index of each shard that is not at its end. The next item of a shard is not
    /// earlier.
    due: BinaryHeap<Reverse<(u64, u64, usize)>>,
}

impl<S: Readable> Reader<S> {
    /// Reads all shards, merged by opening, then by time: see [`Merged::read_next`].
    ///
    /// # Cost
    /// Each step makes up to two comparisons for each binary digit of the number of shards. An event of more than 240
    /// bytes is verified twice.
    pub fn events(&self) -> Merged<'_, S> {
        let shards: Vec<_> = (0..self.description.shards).map(|shard| self.shard(shard)).collect();
        let due = (0..shards.len()).map(|place| Reverse((0, 0, place))).collect();
        Merged { shards, due }
    }
}

impl<S: Readable> Merged<'_, S> {
    /// Returns the next event of all shards, or the gap between it and the previous event of its shard. Returns `None`
    /// at the end.
    ///
    /// The payload is copied to the buffer and borrows it until the next call. This type is therefore not an
    /// [`Iterator`] and is read in a loop:
    ///
    /// ```
    /// # use cachemaint::medium::Readable;
    /// # use cachemaint_recorder::{Found, Reader};
    /// # fn print<S: Readable>(reader: &Reader<S>) -> Result<(), cachemaint_recorder::Error<S::Error>> {
    /// let mut buffer = vec![0; reader.largest_payload()];
    /// let mut events = reader.events();
    /// while let Some(found) = events.read_next(&mut buffer)? {
    ///     match found {
    ///         Found::Event(event) => println!("{} {:?}", event.id, event.payload),
    ///         Found::Skipped(skipped) => println!("{skipped}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Same as [`Events::read_next`].
    ///
    /// # Panics
    /// If the buffer is shorter than [`Reader::largest_payload`].
    #[track_caller]
    pub fn read_next<'b>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> Result<Option<Found<'b>>, Error<S::Error>> {
        while let Some(mut first) = self.due.peek_mut() {
            let Reverse((.., place)) = *first;
            let events = &mut self.shards[place];
            match events.due()?.map(|(opening, time)| Reverse((opening, time, place))) {
                None => drop(PeekMut::pop(first)),
                Some(due) if due == *first => return events.read_next(buffer),
                Some(due) => *first = due,
            }
        }
        Ok(None)
    }
}
