//! The order of events of several shards, openings and recordings.

use super::concurrent::LEN;
use super::plain::{Plain, clock, options};
use cachemaint_recorder::{Clock, Found, Identity, Merged, Options, Reader};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// The first clock has been running for longer. The wall clock is unknown, known only at first, or set back.
#[test]
fn the_events_of_an_opening_come_after_those_of_the_openings_before() {
    static WALL: AtomicU64 = AtomicU64::new(0);
    for walls in [[0, 0], [1 << 60, 0], [1 << 60, 1 << 30]] {
        let medium = Plain::new(LEN);
        let times = [&[(0, 10), (1, 100), (1, 101)][..], &[(0, 20), (1, 19), (0, 21)]];
        for (wall, times) in walls.into_iter().zip(times) {
            WALL.store(wall, Relaxed);
            let clock = Clock::from_function(|| 0, 1, || WALL.load(Relaxed));
            let options = Options::with_clock(Identity([7; 16]), clock).shards(2);
            let recorder = options.sub_buffer_size(256).open_or_create(&medium).unwrap().0;
            let writers = [recorder.claim().unwrap(), recorder.claim().unwrap()];
            for (shard, time) in times {
                writers[*shard].record_at(*time, 1, b"").unwrap();
            }
            // The loss is reported at the beginning of the next opening.
            writers[1].record_at(0, 0, &[0; 169]).unwrap_err();
        }
        let reader = Reader::open(&medium).unwrap();
        assert_eq!(times_of(reader.events(), &reader), [10, 100, 101, 19, 20, 21], "{walls:?}");
    }
}

/// Generations do not determine the order.
#[test]
fn the_events_of_several_recordings_are_merged_by_time() {
    let media = [1, 2].map(|number| {
        let medium = Plain::new(LEN);
        let options = || Options::with_clock(Identity([number; 16]), clock()).sub_buffer_size(256);
        drop(options().create_new(&medium).unwrap().0);
        let openings = u64::from(number);
        (0..openings).for_each(|_| drop(options().open(&medium).unwrap().0));
        let recorder = options().open(&medium).unwrap().0;
        let writer = recorder.claim().unwrap();
        for time in [10, 20] {
            writer.record_at(time + openings, 1, b"").unwrap();
        }
        drop(writer);
        drop(recorder);
        medium
    });
    let readers = media.each_ref().map(|medium| Reader::open(medium).unwrap());
    let merged = Merged::of(readers.iter().map(|reader| reader.shard(0)).collect());
    assert_eq!(times_of(merged, &readers[0]), [11, 12, 21, 22]);
}

/// Returns the timestamps of the events in their order.
fn times_of<'r>(mut events: Merged<'r, &'r Plain>, reader: &Reader<&'r Plain>) -> Vec<u64> {
    let (mut buffer, mut times) = (vec![0; reader.largest_payload()], Vec::new());
    while let Some(found) = events.read_next(&mut buffer).unwrap() {
        if let Found::Event(event) = found {
            times.push(event.timestamp);
        }
    }
    times
}

/// Shards of different lengths end at different times, and many events have the same time.
#[test]
fn many_shards_are_merged_by_time() {
    const SHARDS: u16 = 37;
    let medium = Plain::new(1 << 20);
    let recorder = options().shards(SHARDS.into()).create_new(&medium).unwrap().0;
    let writers: Vec<_> = (0..SHARDS).map(|_| recorder.claim().unwrap()).collect();
    let mut expected = Vec::new();
    for (shard, writer) in (0..SHARDS).zip(&writers) {
        let mut time = u64::from(shard % 5);
        for number in 0..u64::from(shard) {
            time += (number * 7 + u64::from(shard)) % 4;
            writer.record_at(time, shard, &[]).unwrap();
            expected.push((time, u32::from(shard)));
        }
    }
    expected.sort_unstable();

    let reader = recorder.reader();
    let mut buffer = vec![0; reader.largest_payload()];
    let (mut merged, mut order) = (reader.events(), Vec::new());
    while let Some(Found::Event(event)) = merged.read_next(&mut buffer).unwrap() {
        order.push((event.timestamp, event.shard));
    }
    assert_eq!(order, expected);
}
