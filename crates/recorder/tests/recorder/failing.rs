//! Write-backs that fail while events are recorded, and then succeed again.

use super::plain::{options, options_of, shown};
use cachemaint::medium::Medium as _;
use cachemaint_recorder::{Durability, ErrorKind, FormatError, Within};
use cachemaint_test_support::counting::{Broken, Counting};
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::sync::Arc;

fn medium() -> Counting<Plain> {
    Counting::new(Plain::zeros(1 << 16))
}

/// Makes only the next write-back fail.
fn fail_once(medium: &Counting<Plain>) {
    medium.left.store(0, Relaxed);
}

#[test]
fn a_failed_write_back_is_tried_again_and_leaves_out_no_other_shard() {
    let medium = medium();
    let recorder = options().shards(2).create_new(&medium).unwrap().0;
    let writers = [recorder.claim().unwrap(), recorder.claim().unwrap()];
    for writer in &writers {
        writer.record_at(1, 1, &[7; 40]).unwrap();
    }
    medium.taken();
    fail_once(&medium);
    assert_eq!(recorder.write_back_all(), Err(Broken));
    let [_, of_both, _] = medium.taken();
    recorder.write_back_all().unwrap();
    let [_, of_one, _] = medium.taken();
    assert!(of_one > 0);
    assert_eq!(of_both, 2 * of_one);
    recorder.write_back_all().unwrap();
    assert_eq!(medium.taken()[1], 0, "nothing is due");
}

/// A sub-buffer has three events of this size.
#[test]
fn the_event_after_a_sub_buffer_whose_write_back_failed_returns_the_failure_and_is_there() {
    let medium = medium();
    let recorder = options().durability(Durability::SubBuffer).create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    (1..4).for_each(|number| writer.record_at(number, 1, &[7; 40]).unwrap());
    fail_once(&medium);
    let failed = writer.record_at(4, 1, &[7; 40]).unwrap_err();
    assert!(matches!(failed.kind(), ErrorKind::Format(FormatError::Medium(Broken))), "{failed}");
    writer.record_at(5, 1, &[7; 40]).unwrap();
    assert_eq!(shown(&recorder.reader(), 0).events.len(), 5);
}

#[test]
fn the_end_of_a_thread_writes_back_and_returns_the_first_failure() {
    let hour = Duration::from_secs(3600);
    let medium = Arc::new(medium());
    let recorder = Arc::new(options().create_new(Arc::clone(&medium)).unwrap().0);
    let record = || recorder.claim().unwrap().record_at(1, 1, &[7; 40]).unwrap();

    let within = Within::start(Arc::clone(&recorder), hour).unwrap();
    record();
    medium.taken();
    within.finish().unwrap();
    assert!(medium.taken()[1] > 0);

    let within = Within::start(Arc::clone(&recorder), hour).unwrap();
    record();
    fail_once(&medium);
    assert_eq!(within.finish(), Err(Broken));
}

/// A sub-buffer has three events of this size. `Plain` has no lock.
#[test]
fn a_recorder_notices_another_one_at_its_next_sub_buffer_and_stops() {
    type Second = fn(&Plain);
    let seconds: [Second; 2] = [
        |medium| drop(options().open(medium).unwrap()),
        |medium| {
            (0..4).for_each(|slot| medium.write(4096 * slot, &[0; 8]));
            drop(options_of([8; 16]).create_new(medium).unwrap());
        },
    ];
    for second in seconds {
        let medium = Plain::zeros(1 << 16);
        drop(options().create_new(&medium).unwrap());
        let (recorder, _) = options().open(&medium).unwrap();
        let writer = recorder.claim().unwrap();
        let record = || writer.record_at(1, 1, &[7; 40]).map_err(ErrorKind::from);
        record().unwrap();
        second(&medium);
        (0..2).for_each(|_| record().unwrap());
        let before = medium.bytes();
        assert_eq!(record(), Err(ErrorKind::Format(FormatError::AnotherWriter)));
        assert_eq!(record(), Err(ErrorKind::Stopped));
        assert!(medium.bytes() == before, "it was written to");
    }
}

/// Both copies of the newest root are damaged, and the one before is found. Then all roots are damaged.
#[test]
fn damage_to_the_roots_is_not_taken_for_another_recorder() {
    let medium = Plain::zeros(1 << 16);
    drop(options().create_new(&medium).unwrap());
    let (recorder, _) = options().open(&medium).unwrap();
    let writer = recorder.claim().unwrap();
    for slots in [&[0, 8192][..], &[0, 4096, 8192, 12288]] {
        for slot in slots {
            medium.write(slot + 40, &[0xff; 8]);
        }
        (0..4).for_each(|_| writer.record_at(1, 1, &[7; 40]).unwrap());
    }
}
