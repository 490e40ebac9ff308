//! The order in which shards are claimed.

use super::plain::{Plain, options, shown};
use cachemaint_recorder::{Reader, Recorder};
use cachemaint_test_support::cases::cases;

const SHARDS: u32 = 4;
/// Four sub-buffers of 256 bytes for each shard.
const LEN: usize = 6 * 4096 + 4 * 4 * 256;

/// The number of events of a thread. They are more than a shard holds.
const EVENTS: u64 = 100;

fn recorder(medium: &Plain) -> Recorder<'_, &Plain> {
    options().shards(SHARDS).create_new(medium).unwrap().0
}

/// Runs threads one after the other. Each claims a shard, and records events with its number as their id.
fn run_one_after_the_other(recorder: &Recorder<'_, &Plain>, threads: u16) {
    for thread in 1..=threads {
        std::thread::scope(|scope| {
            let record = || {
                let writer = recorder.claim().unwrap();
                (0..EVENTS).for_each(|time| writer.record_at(time, thread, &[1; 8]).unwrap());
            };
            scope.spawn(record).join().unwrap();
        });
    }
}

/// Returns the threads whose last event is found, ascending.
fn found_threads(medium: &Plain) -> Vec<u16> {
    let reader = Reader::open(medium).unwrap();
    let events = (0..SHARDS).flat_map(|shard| shown(&reader, shard).events);
    let last = events.filter(|event| event.timestamp == EVENTS - 1);
    let mut threads: Vec<_> = last.map(|event| event.id).collect();
    threads.sort_unstable();
    threads
}

#[test]
fn the_last_events_of_ended_threads_stay_while_other_shards_are_free() {
    let medium = Plain::new(LEN);
    run_one_after_the_other(&recorder(&medium), 40);
    assert_eq!(found_threads(&medium), [37, 38, 39, 40]);
}

#[test]
fn ended_threads_take_turns_with_the_shards_that_have_no_owner() {
    let medium = Plain::new(LEN);
    let recorder = recorder(&medium);
    let [first, owned] = [recorder.claim().unwrap(), recorder.claim().unwrap()];
    drop(first);
    run_one_after_the_other(&recorder, 40);
    assert_eq!((owned.shard(), found_threads(&medium)), (1, vec![38, 39, 40]));
}

/// A thread can move to a shard behind the search of another one. Loom tries the interleavings of two threads.
#[test]
fn as_many_threads_as_shards_are_never_refused_a_claim() {
    let medium = Plain::new(LEN);
    let recorder = recorder(&medium);
    std::thread::scope(|scope| {
        for thread in 0..SHARDS as u16 {
            let recorder = &recorder;
            scope.spawn(move || {
                for time in 0..cases(2000) {
                    recorder.claim().unwrap().record_at(time, thread, b"").unwrap();
                }
            });
        }
    });
}
