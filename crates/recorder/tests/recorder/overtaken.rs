//! A writer that overtakes a reader, possibly between any two of its loads.

use super::hooked::{Access, Hooked};
use super::plain::{Recorded, SIZE, Shown, options, shown};
use cachemaint::medium::Medium;
use cachemaint_recorder::{Reader, SkippedKind, Writer};
use cachemaint_test_support::cases::cases;
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::Ordering;
use proptest::prelude::*;
use std::sync::Mutex;

const BASE: u64 = super::plain::BASE as u64;
/// The number of words of a header.
const HEADER: usize = 8;
/// The length of a payload of which only one fits a sub-buffer.
const LONG: usize = SIZE / 2;
/// The number of words in a sub-buffer with such an event: the header, a tag, two words, and the payload.
const WORDS: usize = HEADER + 3 + LONG / 8;

/// A store of a word: its offset and its value.
type Store = (u64, u64);

/// A recording, and the stores of a writer that continues it.
struct Recording {
    image: Vec<u8>,
    stores: Vec<Store>,
    payload: usize,
}

impl Recording {
    /// Creates a recording with this number of openings. Each has one event except for the last one, which has `before`
    /// events when the reader begins. The writer records `beside` more while the reader reads.
    fn new(sub_buffers: u32, payload: usize, openings: u64, before: u64, beside: u64) -> Self {
        let stores = Mutex::new(Vec::new());
        let hook = |_: &Plain, at: u64, access: Access| {
            if let Access::Store(word) = access {
                stores.lock().unwrap().push((at, word));
            }
            None
        };
        let medium = Plain::zeros(BASE as usize + sub_buffers as usize * SIZE);
        let medium = Hooked { medium, hook };
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
        stores.lock().unwrap().clear();
        (now..now + beside).for_each(|time| record(&writer, time));
        let stores = stores.lock().unwrap().clone();
        Self { image, stores, payload }
    }

    /// Records one event in each sub-buffer.
    fn of_long(sub_buffers: u32, before: u64, beside: u64) -> Self {
        let recording = Self::new(sub_buffers, LONG, 1, before, beside);
        assert_eq!(recording.stores.len(), WORDS * beside as usize);
        recording
    }

    /// Reads the recording while its writer continues. Before each load, the writer does the number of stores that
    /// `turn` returns for the offset and the remaining stores. Returns a description of the fault, if any.
    fn read_beside(&self, turn: impl FnMut(u64, &[Store]) -> usize + Send) -> Option<String> {
        let writer = Mutex::new((&self.stores[..], turn));
        let hook = |medium: &Plain, at: u64, _: Access| {
            if at >= BASE {
                let mut writer = writer.lock().unwrap();
                let (stores, turn) = &mut *writer;
                let (made, left) = stores.split_at(turn(at, stores).min(stores.len()));
                apply(made, medium);
                *stores = left;
            }
            None
        };
        let beside = Hooked { medium: self.after(0), hook };
        let Shown { events, skipped } = shown(&Reader::open(&beside).unwrap(), 0);
        let is_whole =
            |event: &Recorded| event.payload == [event.timestamp as u8; LONG][..self.payload];
        let is_sorted = events.is_sorted_by_key(|event| event.timestamp);
        let is_damaged = skipped.iter().any(|gap| gap.kind == SkippedKind::Damaged);
        let is_right = events.iter().all(is_whole) && is_sorted && !is_damaged;
        (!is_right).then(|| format!("{events:?} {skipped:?}"))
    }

    /// Returns the medium after this number of the writer's stores.
    fn after(&self, stores: usize) -> Plain {
        let medium = Plain::zeros(self.image.len());
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

/// The number of loads since the last turn of the writer, and its number of stores in this turn.
type Turn = (usize, usize);

/// Counts the loads, and returns the stores due before each.
struct Turns<'t> {
    to_come: &'t [Turn],
    /// The number of loads since the last turn.
    loads: usize,
}

impl<'t> Turns<'t> {
    const fn new(turns: &'t [Turn]) -> Self {
        Self { to_come: turns, loads: 0 }
    }

    fn next(&mut self) -> usize {
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

/// The writer stores nothing before and after.
#[test]
#[cfg_attr(miri, ignore = "thousands of readings, which are slow where they are interpreted")]
fn events_that_a_writer_overwrites_between_two_loads_are_not_damaged() {
    for (sub_buffers, before) in [(2, 0), (2, 1), (2, 3), (3, 4)] {
        let recording = Recording::of_long(sub_buffers, before, 2 * u64::from(sub_buffers) + 1);
        let mut none = Turns::new(&[]);
        assert_eq!(recording.read_beside(|_, _| none.next()), None);
        for load in 0..none.loads {
            for stores in 1..=recording.stores.len() {
                let turns = [(load, stores)];
                let mut once = Turns::new(&turns);
                assert_eq!(recording.read_beside(|_, _| once.next()), None, "{turns:?}");
            }
        }
    }
}

/// From some point on, the reader finds the writer in the middle of every header that it reads.
#[test]
#[cfg_attr(miri, ignore = "thousands of readings, which are slow where they are interpreted")]
fn a_writer_that_stands_in_each_header_that_is_looked_at_damages_nothing() {
    let is_header = |at: u64| (at - BASE).is_multiple_of(SIZE as u64);
    for sub_buffers in [2, 3, 8] {
        for before in [0, 1, sub_buffers, sub_buffers + 1] {
            let recording = Recording::of_long(sub_buffers, before.into(), 1500);
            let mut all = 0;
            let count = |at, _: &[Store]| {
                all += usize::from(is_header(at));
                0
            };
            assert_eq!(recording.read_beside(count), None);
            for from in 0..all {
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

/// The header of the next sub-buffer is torn by a crash, or being written, and another sub-buffer is damaged. The next
/// header stated the end of the one before, which is unknown now.
#[test]
fn damage_beside_a_torn_header_of_the_next_sub_buffer_is_reported() {
    let recording = Recording::of_long(4, 6, 1);
    // Sub-buffer 4 is in slot 0. The next one replaces sub-buffer 2, in slot 2. Both have the same first word.
    for words in 2..HEADER {
        let medium = recording.after(words);
        medium.write(BASE, &[7; SIZE]);
        let shown = shown(&Reader::open(&medium).unwrap(), 0);
        let gaps: Vec<_> = shown.skipped.iter().map(|gap| (gap.at, gap.kind)).collect();
        let torn = (BASE + 2 * SIZE as u64, SkippedKind::Torn);
        let end_before = BASE + 3 * SIZE as u64 + 64 + 24 + LONG as u64;
        let damaged = [end_before, BASE].map(|at| (at, SkippedKind::Damaged));
        assert_eq!(gaps, [torn, damaged[0], damaged[1]], "{words}");
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
        let mut turns = Turns::new(&turns);
        prop_assert_eq!(recording.read_beside(|_, _| turns.next()), None);
    }
}
