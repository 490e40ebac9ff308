//! A writer that overtakes a reader, and may do so between any two loads of the reader.

use super::plain::{Plain, Recorded, SIZE, Shown, options, shown};
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint_recorder::{Reader, SkippedKind, Writer};
use cachemaint_test_support::cases::cases;
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::Ordering;
use proptest::prelude::*;
use std::sync::Mutex;

const BASE: u64 = super::plain::BASE as u64;
/// The words of a header.
const HEADER: usize = 8;
/// The length of a payload of which one fits a sub-buffer.
const LONG: usize = SIZE / 2;
/// The words that a sub-buffer with such an event takes: the header, a tag, two words, and the payload.
const WORDS: usize = HEADER + 3 + LONG / 8;

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

    fn check(&self) -> Result<(), Infallible> {
        self.medium.check()
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

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

/// A recording, and the stores of a writer that goes on in it.
struct Recording {
    image: Vec<u8>,
    stores: Vec<Store>,
    payload: usize,
}

impl Recording {
    /// Records events before the reader begins, in the last of so many openings and one in each of those before, and others
    /// beside the reader.
    fn new(sub_buffers: u32, payload: usize, openings: u64, before: u64, beside: u64) -> Self {
        let len = BASE as usize + sub_buffers as usize * SIZE;
        let medium = Traced { medium: Plain::new(len), stores: Mutex::default() };
        let options = || options().sub_buffers(sub_buffers);
        let record = |writer: &Writer<'_, _>, time: u64| {
            writer.record_at(time, 0, &[time as u8; LONG][..payload]).unwrap();
        };
        drop(options().create_new(&medium).unwrap().0);
        for time in 1..openings {
            record(&options().open(&medium).unwrap().0.claim().unwrap(), time);
        }
        let recorder = options().open(&medium).unwrap().0;
        let writer = recorder.claim().unwrap();
        let now = openings + before;
        (openings..now).for_each(|time| record(&writer, time));
        let image = medium.medium.bytes();
        medium.stores.lock().unwrap().clear();
        (now..now + beside).for_each(|time| record(&writer, time));
        let stores = medium.stores.lock().unwrap().clone();
        Self { image, stores, payload }
    }

    /// Records one event in each sub-buffer.
    fn of_long(sub_buffers: u32, before: u64, beside: u64) -> Self {
        let recording = Self::new(sub_buffers, LONG, 1, before, beside);
        assert_eq!(recording.stores.len(), WORDS * beside as usize);
        recording
    }

    /// Reads the recording while its writer goes on: before each load by so many stores as `turn` returns for its place and
    /// the stores that are left. Returns the fault if there is one.
    fn read_beside(&self, turn: impl FnMut(u64, &[Store]) -> usize + Send) -> Option<String> {
        let medium = Plain::new(self.image.len());
        medium.write(0, &self.image);
        let lapped = Lapped { medium, writer: Mutex::new((&self.stores, turn)) };
        let Shown { events, skipped, .. } = shown(&Reader::open(&lapped).unwrap(), 0);
        let is_whole =
            |event: &Recorded| event.payload == [event.timestamp as u8; LONG][..self.payload];
        let is_sorted = events.is_sorted_by_key(|event| event.timestamp);
        let is_damaged = skipped.iter().any(|gap| gap.kind == SkippedKind::Damaged);
        let is_right = events.iter().all(is_whole) && is_sorted && !is_damaged;
        (!is_right).then(|| format!("{events:?} {skipped:?}"))
    }

    /// Returns the medium after so many of the writer's stores.
    fn after(&self, stores: usize) -> Plain {
        let medium = Plain::new(self.image.len());
        medium.write(0, &self.image);
        apply(&self.stores[..stores], &medium);
        medium
    }
}

fn apply(stores: &[Store], medium: &Plain) {
    for (at, word) in stores {
        medium.store(*at, *word, Ordering::Relaxed);
    }
}

/// A medium whose writer goes on while it is read, by the stores that it has made in its own medium. They are those that are
/// left, and the number of them that it makes before a load.
struct Lapped<'t, F> {
    medium: Plain,
    writer: Mutex<(&'t [Store], F)>,
}

impl<F: FnMut(u64, &[Store]) -> usize + Send> Lapped<'_, F> {
    fn word(&self, at: u64) -> u64 {
        if at >= BASE {
            let mut writer = self.writer.lock().unwrap();
            let (stores, turn) = &mut *writer;
            let (made, left) = stores.split_at(turn(at, stores).min(stores.len()));
            apply(made, &self.medium);
            *stores = left;
        }
        self.medium.load(at, Ordering::Relaxed)
    }
}

impl<F: FnMut(u64, &[Store]) -> usize + Send> Readable for Lapped<'_, F> {
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

    fn check(&self) -> Result<(), Infallible> {
        self.medium.check()
    }
}

/// True if a look at a header begins at this place.
fn is_header(at: u64) -> bool {
    (at - BASE).is_multiple_of(SIZE as u64)
}

/// The number of loads before a turn since the turn before it, and the number of stores then.
type Turn = (usize, usize);

/// Counts the loads from places of one kind, and returns the turns before them.
struct Turns<'t> {
    to_come: &'t [Turn],
    counts: fn(u64) -> bool,
    /// The number of loads since the last turn.
    loads: usize,
}

impl<'t> Turns<'t> {
    fn new(counts: fn(u64) -> bool, turns: &'t [Turn]) -> Self {
        Self { to_come: turns, counts, loads: 0 }
    }

    fn next(&mut self, at: u64) -> usize {
        if !(self.counts)(at) {
            return 0;
        }
        self.loads += 1;
        match self.to_come.split_first() {
            Some((&(loads, stores), later)) if self.loads > loads => {
                (self.to_come, self.loads) = (later, 1);
                stores
            }
            _ => 0,
        }
    }
}

/// The writer stands still before and after.
#[test]
#[cfg_attr(miri, ignore = "thousands of readings, which are slow where they are interpreted")]
fn events_that_a_writer_overwrites_between_two_loads_are_not_damaged() {
    for (sub_buffers, before) in [(2, 0), (2, 1), (2, 3), (3, 4)] {
        let recording = Recording::of_long(sub_buffers, before, 2 * u64::from(sub_buffers) + 1);
        let mut none = Turns::new(|_| true, &[]);
        assert_eq!(recording.read_beside(|at, _| none.next(at)), None);
        for load in 0..none.loads {
            for stores in 1..=recording.stores.len() {
                let turns = [(load, stores)];
                let mut once = Turns::new(|_| true, &turns);
                assert_eq!(recording.read_beside(|at, _| once.next(at)), None, "{turns:?}");
            }
        }
    }
}

/// The writer stands in the middle of a header, and later in that of another one.
#[test]
#[cfg_attr(miri, ignore = "thousands of readings, which are slow where they are interpreted")]
fn a_writer_that_stands_in_one_header_and_then_in_another_one_damages_nothing() {
    for (sub_buffers, before) in [(2, 0), (2, 1), (2, 3), (3, 4)] {
        let recording = Recording::of_long(sub_buffers, before, 3 * u64::from(sub_buffers) + 1);
        let mut none = Turns::new(is_header, &[]);
        assert_eq!(recording.read_beside(|at, _| none.next(at)), None);
        let headers = (HEADER / 2..recording.stores.len()).step_by(WORDS);
        for first in (0..none.loads).flat_map(|load| headers.clone().map(move |to| (load, to))) {
            let turns = [first];
            let mut once = Turns::new(is_header, &turns);
            assert_eq!(recording.read_beside(|at, _| once.next(at)), None, "{turns:?}");
            for after in 1..once.loads {
                for more in (WORDS..recording.stores.len() - first.1).step_by(WORDS) {
                    let turns = [first, (after, more)];
                    let mut twice = Turns::new(is_header, &turns);
                    assert_eq!(recording.read_beside(|at, _| twice.next(at)), None, "{turns:?}");
                }
            }
        }
    }
}

/// From some look on, the reader finds the writer in the middle of each header that it looks at.
#[test]
#[cfg_attr(miri, ignore = "thousands of readings, which are slow where they are interpreted")]
fn a_writer_that_stands_in_each_header_that_is_looked_at_damages_nothing() {
    for sub_buffers in [2, 3, 8] {
        for before in [0, 1, sub_buffers, sub_buffers + 1] {
            let recording = Recording::of_long(sub_buffers, before.into(), 1500);
            let mut none = Turns::new(is_header, &[]);
            assert_eq!(recording.read_beside(|at, _| none.next(at)), None);
            for from in 0..none.loads {
                let mut looks = 0;
                let to_header = |at, stores: &[Store]| {
                    looks += usize::from(is_header(at));
                    if !is_header(at) || looks <= from {
                        return 0;
                    }
                    let begin = stores.iter().position(|(place, _)| *place == at);
                    begin.map_or(0, |begin| begin + HEADER / 2)
                };
                assert_eq!(recording.read_beside(to_header), None, "{sub_buffers} {before} {from}");
            }
        }
    }
}

/// A crash has torn the header of the next sub-buffer, or a writer stands in it, and another sub-buffer is damaged.
#[test]
fn damage_beside_a_torn_header_of_the_next_sub_buffer_is_reported() {
    let recording = Recording::of_long(4, 6, 1);
    // Sub-buffer 4 is in slot 0. The next one is begun over sub-buffer 2, in slot 2.
    let damaged = BASE;
    let next = BASE + 2 * SIZE as u64;
    for words in 1..HEADER {
        let medium = recording.after(words);
        medium.write(damaged, &[7; SIZE]);
        let shown = shown(&Reader::open(&medium).unwrap(), 0);
        let gaps: Vec<_> = shown.skipped.iter().map(|gap| (gap.at, gap.kind)).collect();
        let torn = (next, SkippedKind::Torn);
        // The first words are those of any header of the shard.
        let is_torn = words > 1;
        let expected = [torn, (damaged, SkippedKind::Damaged)];
        assert_eq!(gaps, expected[usize::from(!is_torn)..], "{words}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: cases(3000) as u32,
        ..ProptestConfig::default()
    })]

    #[test]
    #[cfg_attr(miri, ignore = "thousands of readings, which are slow where they are interpreted")]
    fn events_that_a_writer_overwrites_at_any_time_are_not_damaged(
        sub_buffers in 2..10_u32,
        payload in prop_oneof![Just(0), Just(LONG / 3), Just(LONG)],
        openings in prop_oneof![Just(1), 1..8_u64],
        before in prop_oneof![Just(0), 0..24_u64],
        turns in proptest::collection::vec(
            (
                prop_oneof![0..12_usize, 0..200_usize],
                prop_oneof![1..WORDS, (1..12_usize).prop_map(|more| more * WORDS), 1..8 * WORDS],
            ),
            1..48,
        ),
    ) {
        let recording = Recording::new(sub_buffers, payload, openings, before, 48 * 12);
        let mut turns = Turns::new(|_| true, &turns);
        prop_assert_eq!(recording.read_beside(|at, _| turns.next(at)), None);
    }
}
