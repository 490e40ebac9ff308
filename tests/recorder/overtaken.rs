//! A writer that overtakes a reader: it may go on between any two loads of the reader, by any number of stores.

use super::claims::HEADER;
use super::plain::{Plain, SIZE, options, shown};
use crate::cases::cases;
use cachemaint::medium::{Granularity, Medium, Readable};
use cachemaint::recorder::{Reader, SkippedKind};
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::Ordering;
use proptest::prelude::*;
use std::sync::Mutex;

const BASE: u64 = 3 * 4096;
/// The sub-buffers of the only shard.
const SLOTS: u64 = 4;
const LEN: usize = BASE as usize + SLOTS as usize * SIZE;

/// A store of a word: its place and its value.
type Store = (u64, u64);

/// A medium that lists the stores of its writer.
struct Traced {
    medium: Plain,
    stores: Mutex<Vec<Store>>,
}

impl Readable for Traced {
    type Error = Infallible;

    fn len(&self) -> u64 {
        Readable::len(&self.medium)
    }

    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        self.medium.read(at, into)
    }
}

impl Medium for Traced {
    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        8
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.stores.lock().unwrap().push((at, word));
        self.medium.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        for (at, word) in (at..).step_by(8).zip(from.as_chunks().0) {
            self.store(at, u64::from_le_bytes(*word), Ordering::Relaxed);
        }
    }

    fn issue_writeback(&self, _: Range<u64>) -> Result<(), Infallible> {
        Ok(())
    }

    fn fence(&self) {}

    fn order_observed(&self) {}
}

/// A writer that goes on in another recording's medium, by the stores that it has made in its own.
struct Writer<'t> {
    stores: &'t [Store],
    /// The numbers of words of headers that the reader loads, after each of which the writer begins so many.
    steps: &'t [(u32, usize)],
    looks: u32,
}

impl Writer<'_> {
    /// Goes on before a look, up to a header of which only the first word is stored.
    fn go_on(&mut self, medium: &Plain) {
        self.looks += 1;
        let Some((&(looks, number), later)) = self.steps.split_first() else { return };
        if self.looks <= looks {
            return;
        }
        (self.looks, self.steps) = (0, later);
        let is_begin = |(_, (at, _)): &(usize, &Store)| (at - BASE).is_multiple_of(SIZE as u64);
        let begins = self.stores.iter().enumerate().filter(is_begin);
        let Some((last, _)) = begins.take(number).last() else { return };
        let (made, left) = self.stores.split_at(last + 1);
        for (at, word) in made {
            medium.store(*at, *word, Ordering::Relaxed);
        }
        self.stores = left;
    }
}

/// A medium whose writer goes on while it is read.
struct Overtaken<'t> {
    medium: Plain,
    writer: Mutex<Writer<'t>>,
}

impl Overtaken<'_> {
    fn word(&self, at: u64) -> u64 {
        if at >= BASE && (at - BASE) % (SIZE as u64) < HEADER as u64 {
            self.writer.lock().unwrap().go_on(&self.medium);
        }
        self.medium.load(at, Ordering::Relaxed)
    }
}

impl Readable for Overtaken<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        Readable::len(&self.medium)
    }

    fn load(&self, at: u64, _: Ordering) -> u64 {
        self.word(at)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        for (at, word) in (at..).step_by(8).zip(into.as_chunks_mut().0) {
            *word = self.word(at).to_le_bytes();
        }
        Ok(())
    }
}

/// Returns a recording, and the stores of a writer who goes on in it by these many sub-buffers.
fn recording(before: u64, more: u64) -> (Vec<u8>, Vec<Store>) {
    let medium = Traced { medium: Plain::new(LEN), stores: Mutex::default() };
    let recorder = options().sub_buffers(SLOTS as u32).create_new(&medium).unwrap();
    let writer = recorder.claim().unwrap();
    // Each event takes a sub-buffer.
    let record = |time: u64| writer.record_at(time, 0, &[time as u8; SIZE / 2]).unwrap();
    (0..before).for_each(record);
    let image = medium.medium.bytes();
    medium.stores.lock().unwrap().clear();
    (before..before + more).for_each(record);
    let stores = medium.stores.lock().unwrap().clone();
    (image, stores)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: cases(3000) as u32,
        ..ProptestConfig::default()
    })]

    /// The writer stands in a header at each look of the reader, in one or in another.
    #[test]
    #[cfg_attr(miri, ignore = "thousands of readings, which are slow where they are interpreted")]
    fn events_that_a_writer_overwrites_are_not_damaged(
        before in 1..=2 * SLOTS,
        steps in proptest::collection::vec((prop_oneof![0..8_u32, 0..80_u32], 1..=2 * SLOTS as usize), 1..24),
    ) {
        let (image, stores) = recording(before, 24 * 2 * SLOTS);
        let medium = Plain::new(LEN);
        medium.write(0, &image);
        let writer = Writer { stores: &stores, steps: &steps, looks: 0 };
        let medium = Overtaken { medium, writer: Mutex::new(writer) };
        let shown = shown(&Reader::open(&medium).unwrap(), 0);
        let times: Vec<_> = shown.events.iter().map(|event| event.timestamp).collect();
        prop_assert!(times.is_sorted(), "{times:?}");
        let is_damaged = shown.skipped.iter().any(|skipped| skipped.kind == SkippedKind::Damaged);
        prop_assert!(!is_damaged, "{:?}", shown.skipped);
    }
}
