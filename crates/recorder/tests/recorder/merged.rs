//! The order of events of several shards and openings.

use super::concurrent::LEN;
use super::plain::{merged, options};
use cachemaint_recorder::{Clock, Found, Identity, Options, Reader};
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// The first clock has been running for longer. The wall clock is unknown, known only at first, or set back.
#[test]
fn the_events_of_an_opening_come_after_those_of_the_openings_before() {
    static WALL: AtomicU64 = AtomicU64::new(0);
    for walls in [[0, 0], [1 << 60, 0], [1 << 60, 1 << 30]] {
        let medium = Plain::zeros(LEN);
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
        }
        let mut found = Vec::new();
        merged(&Reader::open(&medium).unwrap(), |item| {
            let Found::Event(event) = item else { panic!("{item:?}") };
            found.push(event.timestamp);
        });
        assert_eq!(found, [10, 100, 101, 19, 20, 21], "{walls:?}");
    }
}

/// Shards of different lengths end at different times, and many events have the same time.
#[test]
fn many_shards_are_merged_by_time() {
    const SHARDS: u16 = 37;
    let medium = Plain::zeros(1 << 20);
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
