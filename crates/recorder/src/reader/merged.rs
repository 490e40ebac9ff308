//! The events of all shards, merged by opening, then by time.

use super::Reader;
use super::shard::{Due, Events};
use crate::error::Error;
use crate::found::Found;
use alloc::collections::BinaryHeap;
use alloc::collections::binary_heap::PeekMut;
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use core::cmp::Reverse;

/// The events of several shards, merged by the opening that recorded them, then by time, then by shard.
///
/// The events of a shard keep their order. Events of a later opening come after those of an earlier one, whatever their
/// times: the clock may have restarted or been set back. Shards of several recordings are merged only by their wall
/// clocks.
#[derive(Debug)]
pub struct Merged<'r, S> {
    shards: Vec<Events<'r, S>>,
    /// The opening and the time of the next item of each shard that is not at its end, and the index of the shard. The
    /// shard read last is still there with its last item. `None` before the first step. Within one recording, the time
    /// is the timestamp: an opening has one clock, and the wall clock may be set meanwhile. For several recordings, it
    /// is the wall clock.
    due: Option<BinaryHeap<Reverse<(u64, u64, usize)>>>,
    /// False if the shards belong to several recordings, whose openings are unrelated.
    is_by_opening: bool,
}

impl<S: Readable> Reader<S> {
    /// Reads all shards, merged by opening, then by time: see [`Merged::read_next`].
    ///
    /// # Cost
    /// Each step makes up to two comparisons for each binary digit of the number of shards. An event of more than 240
    /// bytes is verified twice.
    pub fn events(&self) -> Merged<'_, S> {
        Merged::of((0..self.description.shards).map(|shard| self.shard(shard)).collect())
    }
}

impl<'r, S: Readable> Merged<'r, S> {
    /// Merges these shards.
    #[must_use]
    pub fn of(shards: Vec<Events<'r, S>>) -> Self {
        let is_by_opening = shards.windows(2).all(|pair| pair[0].identity() == pair[1].identity());
        Self { shards, due: None, is_by_opening }
    }

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
    ///         Found::Lost { shard, events } => println!("shard {shard} lost {events} events"),
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
        let Self { shards, due, is_by_opening } = self;
        let next = |shards: &mut [Events<'r, S>], place: usize| {
            let by = |Due { opening, timestamp, time }| {
                if *is_by_opening { (opening, timestamp, place) } else { (0, time, place) }
            };
            shards[place].due().map(|due| due.map(|due| Reverse(by(due))))
        };
        let heap = if let Some(heap) = due {
            if let Some(mut last) = heap.peek_mut() {
                match next(shards, last.0.2)? {
                    Some(due) => *last = due,
                    None => drop(PeekMut::pop(last)),
                }
            }
            heap
        } else {
            let all = (0..shards.len()).filter_map(|place| next(shards, place).transpose());
            due.insert(all.collect::<Result<_, _>>()?)
        };
        match heap.peek() {
            Some(Reverse((_, _, place))) => shards[*place].read_next(buffer),
            None => Ok(None),
        }
    }
}
