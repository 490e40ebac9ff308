//! The events of all shards, merged by opening, then by time.
//!
//! The shards are merged by a binary heap by the opening and the time of their next events: the first entry is the shard that
//! is due. Each shard has one entry of the heap, so that no shard is moved. An entry has the time as well: a comparison of two
//! entries would otherwise fetch two shards more into the cache.

use super::Reader;
use super::found::Found;
use super::shard::Events;
use crate::medium::Readable;
use crate::recorder::Error;

/// The events of several shards, merged by the opening that recorded them, then by time.
///
/// The events of a shard keep their order. Of events with the same time, that of the lower shard comes first.
///
/// The events of an opening come after those of the openings before it, whatever their times are: the clock may have begun
/// anew, or have been set back. Shards of several recordings are merged by time alone.
///
/// Beside a fast writer any events can be missing, not only the oldest ones. A shard waits until the times of all others
/// have come as far, and can be overtaken again and again meanwhile. Each gap is reported as
/// [`Overwritten`](crate::recorder::SkippedKind::Overwritten). Copy the file first (`cp`), and read the copy.
///
/// A crash can lose the header before events, and with it the wall time of their opening. These events have no
/// [`wall`](crate::recorder::Event::wall) time, although others of the recording have one. They are in order in their shard
/// and by opening, but not by time among those of other shards.
#[derive(Debug)]
pub struct Merged<L> {
    shards: L,
    /// The number of shards that are not at their end. `None` before the first step.
    left: Option<usize>,
}

impl<S: Readable> Reader<S> {
    /// Reads all shards, merged by opening, then by time: see [`Merged::read_next`].
    ///
    /// # Cost
    /// Each step compares up to two shards for each binary digit of their number. An event of more than 240 bytes is
    /// verified twice.
    #[cfg(feature = "std")]
    pub fn events(&self) -> Merged<alloc::vec::Vec<Events<'_, S>>> {
        Merged::of((0..self.description.shards).map(|shard| self.shard(shard)).collect())
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
    /// # fn print<S: Readable>(reader: &Reader<S>) -> Result<(), cachemaint::recorder::Error<S::Error>> {
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
    /// As [`Events::read_next`].
    ///
    /// # Panics
    /// If the buffer is shorter than [`Reader::largest_payload`].
    #[track_caller]
    pub fn read_next<'b, 'r, S>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> Result<Option<Found<'b>>, Error<S::Error>>
    where
        L: AsMut<[Events<'r, S>]>,
        S: Readable + 'r,
    {
        let shards = self.shards.as_mut();
        let left = match self.left {
            Some(left) => settled(shards, left, 0)?,
            None => heap(shards)?,
        };
        self.left = Some(left);
        match shards.first().filter(|_| left > 0).map(|first| first.in_heap.index) {
            Some(due) => shards[due].read_next(buffer),
            None => Ok(None),
        }
    }
}

/// An entry of the heap.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// The opening and the time of the next item of a shard, and the shard.
    due: (u64, u64, u32),
    index: usize,
}

/// Makes a heap of the shards that are not at their end. Returns their number.
fn heap<S: Readable>(shards: &mut [Events<'_, S>]) -> Result<usize, Error<S::Error>> {
    let is_one_recording = shards.windows(2).all(|pair| pair[0].identity() == pair[1].identity());
    for (index, shard) in shards.iter_mut().enumerate() {
        (shard.in_heap.index, shard.is_by_opening) = (index, is_one_recording);
    }
    let mut left = shards.len();
    for place in (0..shards.len()).rev() {
        left = settled(shards, left, place)?;
    }
    Ok(left)
}

/// Looks up the next time of the shard at a place of the heap of `left` shards, and moves it down to its place. All
/// shards below it must be in heap order. If it is at its end, the last shard takes its place. Returns the number of
/// shards left.
fn settled<S: Readable>(
    shards: &mut [Events<'_, S>],
    mut left: usize,
    place: usize,
) -> Result<usize, Error<S::Error>> {
    if place < left {
        let index = shards[place].in_heap.index;
        if let Some(due) = shards[index].due()? {
            shards[place].in_heap.due = due;
        } else {
            left -= 1;
            shards[place].in_heap = shards[left].in_heap;
        }
        sink(&mut shards[..left], place);
    }
    Ok(left)
}

/// Moves a shard down below the shards that are due before it.
fn sink<S>(shards: &mut [Events<'_, S>], mut place: usize) {
    while let Some(mut first) = shards.get(2 * place + 1) {
        let mut child = 2 * place + 1;
        if let Some(second) = shards.get(child + 1)
            && second.in_heap.due < first.in_heap.due
        {
            (first, child) = (second, child + 1);
        }
        let (moved, first) = (shards[place].in_heap, first.in_heap);
        if moved.due <= first.due {
            break;
        }
        (shards[place].in_heap, shards[child].in_heap) = (first, moved);
        place = child;
    }
}
