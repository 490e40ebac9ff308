//! The events of all shards, merged by time.
//!
//! The slice of shards is a binary heap by the time of their next events: the first shard is due.

use super::Reader;
use super::shard::{Events, Found};
use crate::medium::Readable;

/// The events of several shards, merged by the time at which they were recorded.
///
/// The events of a shard keep their order. Of events with the same time, that of the lower shard comes first.
#[derive(Debug)]
pub struct Merged<L> {
    shards: L,
    /// The number of shards that are not at their end. `None` before the first step.
    left: Option<usize>,
}

impl<S: Readable> Reader<S> {
    /// Reads all shards, by time: see [`Merged::read_next`].
    ///
    /// # Cost
    /// Each step compares up to two shards for each binary digit of their number. Each event is verified twice.
    #[cfg(feature = "std")]
    pub fn events(&self) -> Merged<alloc::vec::Vec<Events<'_, S>>> {
        Merged::of((0..self.description.shards()).map(|shard| self.shard(shard)).collect())
    }
}

impl<L> Merged<L> {
    /// Merges these shards without an allocation.
    pub const fn of(shards: L) -> Self {
        Self { shards, left: None }
    }

    /// Returns the next event of all shards, or the gap between it and the one before of its shard. `None` is the end.
    ///
    /// The payload is copied to the buffer, and borrows it until the next call. So this type is not an [`Iterator`], and is
    /// read in a loop:
    ///
    /// ```
    /// # use cachemaint::medium::Readable;
    /// # use cachemaint::recorder::{Found, Reader};
    /// # #[cfg(feature = "std")]
    /// # fn print<S: Readable>(reader: &Reader<S>) {
    /// let mut buffer = vec![0; reader.largest_payload()];
    /// let mut events = reader.events();
    /// while let Some(found) = events.read_next(&mut buffer) {
    ///     match found {
    ///         Found::Event(event) => println!("{} {:?}", event.id, event.payload),
    ///         Found::Lost { shard, events } => println!("shard {shard} lost {events} events"),
    ///         Found::Skipped(skipped) => println!("{skipped}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the buffer is shorter than [`Reader::largest_payload`].
    #[track_caller]
    pub fn read_next<'b, 'r, S>(&mut self, buffer: &'b mut [u8]) -> Option<Found<'b>>
    where
        L: AsMut<[Events<'r, S>]>,
        S: Readable + 'r,
    {
        let shards = self.shards.as_mut();
        let left = match self.left {
            Some(left) => settled(&mut shards[..left], 0),
            None => heap(shards),
        };
        self.left = Some(left);
        shards[..left].first_mut()?.read_next(buffer)
    }
}

/// Makes a heap of the shards that are not at their end, which come first. Returns their number.
fn heap<S: Readable>(shards: &mut [Events<'_, S>]) -> usize {
    let mut left = shards.len();
    for place in (0..shards.len()).rev() {
        left = settled(&mut shards[..left], place);
    }
    left
}

/// Looks up the next time of the shard at a place, and moves the shard down to its place in the heap. All shards below it
/// must be in heap order. If it is at its end, the last shard takes its place. Returns the number of shards left.
fn settled<S: Readable>(shards: &mut [Events<'_, S>], place: usize) -> usize {
    let mut left = shards.len();
    if place < left && shards[place].time().is_none() {
        left -= 1;
        shards.swap(place, left);
    }
    sink(&mut shards[..left], place);
    left
}

/// Moves a shard down below the shards that are due before it.
fn sink<S: Readable>(shards: &mut [Events<'_, S>], mut place: usize) {
    let due = |shards: &[Events<'_, S>], place: usize| shards.get(place).map(Events::due);
    while let Some(own) = due(shards, place) {
        let (left, right) = (2 * place + 1, 2 * place + 2);
        let Some(first) = due(shards, left) else { return };
        let (child, first) = match due(shards, right) {
            Some(other) if other < first => (right, other),
            _ => (left, first),
        };
        if own <= first {
            return;
        }
        shards.swap(place, child);
        place = child;
    }
}
