//! Readers beside openings, trims and laps of the writer.

use crate::claims::reason;
use crate::faulty::{Faulty, abandon};
use crate::proofs::{Hooked, SEGMENT, medium, options};
use cachemaint::journal::{ErrorKind, Position, Reader, Salvaged};
use cachemaint::sim::SimMedium;
use std::sync::Mutex;

/// The reader has passed the mark of an epoch without records, in the place of which the next one begins.
#[test]
fn a_reader_follows_over_openings() {
    let medium = medium();
    let (mut payload, reader) = {
        let journal = options(0).create_new(&medium).unwrap();
        journal.append(b"first").unwrap();
        drop(journal);
        drop(options(1).open(&medium).unwrap());
        (Vec::new(), Reader::open(&medium).unwrap())
    };
    let mut records = reader.records();
    assert!(records.read_next(&mut payload).unwrap().is_some());
    assert!(records.read_next(&mut payload).unwrap().is_none());
    let (journal, _) = options(2).open(&medium).unwrap();
    for number in 0..3 {
        journal.append(&[number; 20]).unwrap();
        assert!(records.read_next(&mut payload).unwrap().is_some(), "record {number}");
        assert_eq!(payload, [number; 20]);
    }
    assert!(records.read_next(&mut payload).unwrap().is_none());
}

/// The records before fill the first segment, so that the position is behind a segment's first mark.
#[test]
fn a_reader_from_the_end_returns_the_next_record_after_an_opening() {
    let medium = medium();
    options(0).create_new(&medium).unwrap().append(&[1; 944]).unwrap();
    let end = options(1).open(&medium).unwrap().0.end();
    assert_eq!(end.0, SEGMENT + 64);
    let reader = Reader::open(&medium).unwrap();
    let mut tail = reader.records_from(end).unwrap();
    assert!(tail.next().is_none());
    options(2).open(&medium).unwrap().0.append(b"next").unwrap();
    assert_eq!(tail.next().unwrap().unwrap().payload, b"next");
}

/// A journal with one record, up to 88, and behind it a cancelled one, whose space ends at 2040.
fn with_a_cancelled_record() -> SimMedium {
    let medium = medium();
    let faulty = Faulty::new(&medium);
    let journal = options(0).create_new(&faulty).unwrap();
    journal.append(b"first").unwrap();
    abandon(&journal, 930);
    drop(journal);
    medium
}

/// The second opening begins its epoch behind the place that the reader has reached, the first one before it.
#[test]
fn a_reader_misses_no_record_of_an_epoch_between_two_looks() {
    let medium = with_a_cancelled_record();
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    assert_eq!(records.by_ref().count(), 1);
    assert_eq!(records.reached().0, 2040);
    let (journal, _) = options(1).open(&medium).unwrap();
    journal.append(b"second").unwrap();
    journal.append(&[3; 930]).unwrap();
    assert_eq!(journal.end().0, 2040);
    drop(journal);
    options(2).open(&medium).unwrap().0.append(b"fourth").unwrap();
    let read: Vec<_> = records.map(|record| record.unwrap().payload).collect();
    assert_eq!(read, [b"second".to_vec(), vec![3; 930], b"fourth".to_vec()]);
}

/// The reader has reached 2040, and the records that it has not read begin at 152. Up to 1088 they are trimmed, and the
/// first segment is written over.
#[test]
fn records_that_were_trimmed_behind_a_reader_are_not_reported_as_damage() {
    let medium = with_a_cancelled_record();
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    assert_eq!(records.by_ref().count(), 1);
    let (journal, _) = options(1).open(&medium).unwrap();
    journal.append(b"second").unwrap();
    let third = journal.append(&[3; 880]).unwrap();
    assert_eq!(third.0, SEGMENT + 64);
    journal.trim(third).unwrap();
    for _ in 2..16 {
        journal.append(&[4; 930]).unwrap();
    }
    assert_eq!(journal.append(&[5; 100]).unwrap().0, 16 * SEGMENT + 64);
    let next = records.next().unwrap();
    let Some(ErrorKind::NotABoundary { position, head, .. }) = reason(&next) else {
        panic!("{next:?}")
    };
    assert_eq!((position.0, *head), (88, third));
}

/// The reader has read everything, and the trim goes to where the first record of the new epoch will be.
#[test]
fn a_reader_that_has_missed_nothing_follows_over_a_trim_to_the_end() {
    let medium = with_a_cancelled_record();
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    assert_eq!(records.by_ref().count(), 1);
    let (journal, _) = options(1).open(&medium).unwrap();
    journal.trim(journal.end()).unwrap();
    assert_eq!(journal.head().0, 88 + 64);
    journal.append(b"second").unwrap();
    assert_eq!(records.next().unwrap().unwrap().payload, b"second");
}

#[test]
fn a_reader_opened_before_an_opening_reports_no_damage() {
    let medium = medium();
    options(0).create_new(&medium).unwrap().append(b"first").unwrap();
    let reader = Reader::open(&medium).unwrap();
    let (journal, _) = options(1).open(&medium).unwrap();
    let second = journal.append(b"second").unwrap();
    journal.append(b"third").unwrap();
    let found = reader.verify(&mut |_| ()).unwrap();
    assert_eq!((found.records, found.damage), (3, None));
    assert_eq!(reader.records_from(second).unwrap().count(), 2);
    let salvaged: Vec<_> = reader.salvage().map(Result::unwrap).collect();
    assert_eq!(salvaged.len(), 3);
    assert!(salvaged.iter().all(|found| matches!(found, Salvaged::Record(_))), "{salvaged:?}");
}

/// 20 records of a segment each, in 16 segments.
#[test]
fn a_reader_opened_before_a_lap_reports_no_damage() {
    let medium = medium();
    let journal = options(0).create_new(&medium).unwrap();
    journal.append(b"first").unwrap();
    let reader = Reader::open(&medium).unwrap();
    for _ in 0..20 {
        journal.append(&[1; 930]).unwrap();
        journal.trim(journal.end()).unwrap();
    }
    let last = journal.append(b"last").unwrap();
    let found = reader.verify(&mut |_| ()).unwrap();
    assert_eq!((found.records, found.damage), (1, None));
    assert_eq!(reader.records_from(last).unwrap().count(), 1);
    assert_eq!(reader.salvage().count(), 1);
}

#[test]
fn an_opening_right_behind_a_look_at_the_superblocks_is_not_reported_as_damage() {
    let medium = medium();
    options(0).create_new(&medium).unwrap().append(b"first").unwrap();
    let armed = Mutex::new(None);
    let open = |at, _: &mut [u8]| {
        // The second superblock.
        if at == 4096
            && let Some(opening) = armed.lock().unwrap().take()
        {
            options(opening).open(&medium).unwrap().0.append(b"next").unwrap();
        }
    };
    let arm = |opening: u64| *armed.lock().unwrap() = Some(opening);
    let meanwhile = Hooked { medium: &medium, behind: open };
    let reader = Reader::open(&meanwhile).unwrap();
    let mut records = reader.records();
    assert_eq!(records.next().unwrap().unwrap().payload, b"first");
    arm(1);
    assert_eq!(records.next().unwrap().unwrap().payload, b"next");
    arm(2);
    let found = reader.verify(&mut |_| ()).unwrap();
    assert_eq!((found.records, found.damage), (3, None));
    // Each opening's mark has 64 bytes, each record 24: the last one is behind four marks and three records.
    arm(3);
    let last = reader.records_from(Position(4 * 64 + 3 * 24)).unwrap();
    assert_eq!(last.count(), 1);
}
