//! Two recorders of one file on a medium without a lock, and media that fail or panic at any call of recording.

use super::plain::{BASE, Recorded, SIZE, options, shown};
use cachemaint::medium::Medium;
use cachemaint_recorder::{Durability, Error, ErrorKind, FormatError, Reader, Recorder};
use cachemaint_test_support::cases::cases;
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::hooked::Hooked;
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::SeqCst;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A sub-buffer has three events of this size.
const PAYLOAD: [u8; 40] = [7; 40];

fn record<M: Medium>(
    recorder: &Recorder<'static, M>,
    number: u64,
    payload: &[u8],
) -> Result<(), Error<M::Error>> {
    recorder.claim().unwrap().record_at(number, 1, payload)
}

fn is_told<E>(done: Result<(), Error<E>>) -> bool {
    let kind = done.map_err(ErrorKind::from);
    matches!(kind, Err(ErrorKind::Format(FormatError::AnotherWriter)))
}

fn found(medium: &Plain) -> Vec<Recorded> {
    shown(&Reader::open(medium).unwrap(), 0).events
}

/// Returns true if neither the event nor the header of its sub-buffer has changed.
fn is_left(event: &Recorded, before: &[u8], after: &[u8]) -> bool {
    let at = event.at as usize;
    let header = BASE + (at - BASE) / SIZE * SIZE;
    let ranges = [at..at + 24 + event.payload.len(), header..header + 64];
    ranges.into_iter().all(|range| before[range.clone()] == after[range])
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: cases(300) as u32,
        ..ProptestConfig::default()
    })]

    /// Each step opens the recording again, or records an event of some length: the newest recorder, or an earlier one.
    #[test]
    #[cfg_attr(miri, ignore = "reads all again and again, which is slow where it is interpreted")]
    fn what_the_newest_recorder_recorded_and_nobody_overwrote_is_there(
        sub_buffers in 2..5_u32,
        steps in proptest::collection::vec((0..16_u8, 0..100_usize), 1..60),
    ) {
        let medium = Plain::zeros(BASE + 4 * SIZE);
        let options = || options().sub_buffers(sub_buffers);
        let mut recorders = vec![options().create_new(medium.clone()).unwrap().0];
        let mut recorded: Vec<Recorded> = Vec::new();
        for (number, (kind, len)) in (1..).zip(steps) {
            let before = medium.bytes();
            let payload = vec![number as u8; len];
            let older = recorders.len() - 1;
            if kind == 0 {
                recorders.push(options().open(medium.clone()).unwrap().0);
            } else if kind < 8 && older > 0 {
                let late = kind as usize % older;
                let done = record(&recorders[late], number, &payload);
                if done.is_err() {
                    prop_assert!(is_told(done));
                    drop(recorders.remove(late));
                }
            } else {
                record(&recorders[older], number, &payload).unwrap();
                let own = found(&medium).into_iter().find(|event| event.timestamp == number);
                prop_assert_eq!(&own.as_ref().unwrap().payload, &payload);
                recorded.extend(own);
            }
            let after = medium.bytes();
            recorded.retain(|event| event.timestamp == number || is_left(event, &before, &after));
            let found = found(&medium);
            for event in &recorded {
                prop_assert!(found.contains(event), "event {} after {number}", event.timestamp);
            }
        }
    }
}

/// An earlier recorder that has looked just before can still begin one sub-buffer, where the newer one begins its first.
#[test]
#[cfg_attr(
    miri,
    ignore = "two threads record again and again, which is slow where it is interpreted"
)]
fn a_recorder_beside_a_newer_one_costs_it_the_first_sub_buffer_at_most() {
    const LATE: u64 = 1000;
    for round in 0..cases(200) {
        let medium = Plain::zeros(BASE + 64 * SIZE);
        let old = options().sub_buffers(64).create_new(medium.clone()).unwrap().0;
        let begun = AtomicUsize::new(0);
        let new = std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..100 {
                    if record(&old, LATE + number, &PAYLOAD).is_err() {
                        return;
                    }
                    begun.fetch_add(1, SeqCst);
                }
            });
            while (begun.load(SeqCst) as u64) < round % 20 {
                std::thread::yield_now();
            }
            let new = options().open(medium.clone()).unwrap().0;
            (0..30).for_each(|number| record(&new, number, &PAYLOAD).unwrap());
            new
        });
        let generation = new.description().generation;
        let found = found(&medium).into_iter().filter(|event| event.generation == generation);
        let numbers: Vec<u64> = found.map(|event| event.timestamp).collect();
        let later: Vec<u64> = numbers.iter().copied().filter(|number| *number >= 3).collect();
        assert_eq!(later, (3..30).collect::<Vec<_>>(), "round {round}");
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

/// What happens at the call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Fails,
    Panics,
}

/// Records events on a medium with a fault at one call. Returns the number of calls.
fn record_with(fault: Fault, at: usize, durability: Durability) -> usize {
    let plain = Plain::zeros(BASE + 16 * SIZE);
    drop(options().create_new(plain.clone()).unwrap());
    let calls = AtomicUsize::new(usize::MAX / 2);
    let medium = Hooked::new(plain.clone(), |_| match fault {
        _ if calls.fetch_add(1, SeqCst) != at => Ok(()),
        Fault::Fails => Err(Broken),
        Fault::Panics => std::panic::resume_unwind(Box::new("the fault")),
    });
    let recorder = options().durability(durability).open(medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    calls.store(0, SeqCst);
    let mut expected = Vec::new();
    for number in 0..12 {
        let record = || drop(writer.record_at(number, 1, &PAYLOAD));
        // The event is recorded even if its write-back failed.
        let has_panicked = catch_unwind(AssertUnwindSafe(record)).is_err();
        if number % 4 == 3 {
            let _is_failed = catch_unwind(AssertUnwindSafe(|| recorder.write_back_all()));
        }
        let numbers: Vec<u64> = found(&plain).iter().map(|event| event.timestamp).collect();
        if !has_panicked || numbers.contains(&number) {
            expected.push(number);
        }
        assert_eq!(numbers, expected, "{fault:?} at {at}, {durability:?}, event {number}");
    }
    calls.load(SeqCst)
}

#[test]
fn a_medium_that_fails_or_panics_at_any_call_loses_no_other_event() {
    let durabilities = [Durability::OnRequest, Durability::SubBuffer, Durability::EachAppend];
    for (fault, durability) in [Fault::Fails, Fault::Panics]
        .into_iter()
        .flat_map(|fault| durabilities.map(|durability| (fault, durability)))
    {
        let mut at = 0;
        while at < record_with(fault, at, durability) {
            at += 1;
        }
        assert!(at > 12, "{at} calls");
    }
}
