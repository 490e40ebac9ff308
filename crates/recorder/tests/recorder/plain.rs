//! The options of a recording, and the events that a reader finds in it.

use cachemaint::medium::Readable;
use cachemaint_recorder::{
    Clock, ErrorKind, FormatError, Found, Identity, Options, Reader, Skipped,
};

/// The size of everything before the sub-buffers: the roots and the texts of events.
pub(crate) const BASE: usize = 5 * 4096;

/// One tick a second, and no wall time.
pub(crate) fn clock() -> Clock {
    Clock::from_function(|| 0, 1_000_000_000, || 0)
}

/// The size of a sub-buffer in bytes. In fuzzers it holds events that are longer than a reader's buffer.
pub(crate) const SIZE: usize = if cfg!(fuzzing) { 512 } else { 256 };

pub(crate) fn options() -> Options<'static> {
    options_of(*b"sixteen letters!")
}

pub(crate) fn options_of(identity: [u8; 16]) -> Options<'static> {
    Options::with_clock(Identity(identity), clock()).sub_buffer_size(SIZE as u32)
}

/// Returns true if the medium has zeros at the place of each root.
pub(crate) const fn is_missing<E>(kind: &ErrorKind<E>) -> bool {
    matches!(kind, ErrorKind::Format(FormatError::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0], .. }))
}

/// An event as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) generation: u64,
    pub(crate) sequence: u64,
    pub(crate) at: u64,
    pub(crate) id: u16,
    pub(crate) timestamp: u64,
    pub(crate) payload: Vec<u8>,
}

/// Everything that a reader finds in a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) events: Vec<Recorded>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Shown {
    fn push(&mut self, found: &Found<'_>) {
        match *found {
            Found::Event(event) => self.events.push(Recorded {
                generation: event.generation,
                sequence: event.sequence,
                at: event.at,
                id: event.id,
                timestamp: event.timestamp,
                payload: event.payload.to_vec(),
            }),
            Found::Skipped(skipped) => self.skipped.push(skipped),
            _ => unreachable!("nothing else is known"),
        }
    }
}

pub(crate) fn shown<S: Readable>(reader: &Reader<S>, shard: u32) -> Shown {
    let mut shown = Shown::default();
    let mut buffer = vec![0; reader.largest_payload()];
    let mut events = reader.shard(shard);
    while let Some(found) = events.read_next(&mut buffer).unwrap() {
        shown.push(&found);
    }
    shown
}

/// Returns what a reader of the merged shards finds, by shard. `look` is called with each item.
pub(crate) fn merged<S: Readable>(
    reader: &Reader<S>,
    mut look: impl FnMut(&Found<'_>),
) -> Vec<Shown> {
    let mut all: Vec<_> = (0..reader.description().shards).map(|_| Shown::default()).collect();
    let mut buffer = vec![0; reader.largest_payload()];
    let mut events = reader.events();
    while let Some(found) = events.read_next(&mut buffer).unwrap() {
        let shard = match &found {
            Found::Event(event) => event.shard,
            Found::Skipped(skipped) => skipped.shard,
            _ => unreachable!("nothing else is known"),
        };
        all[shard as usize].push(&found);
        look(&found);
    }
    all
}
