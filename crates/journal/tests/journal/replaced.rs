//! Readers in parallel with the writer: they follow appends and trims, and are refused after any other change.

use crate::claims::{LOG, reason};
use cachemaint::medium::Medium as _;
use cachemaint_journal::{ErrorKind, Options, Position, Reader};
use cachemaint_sim::{Model, SimMedium, Simulation};

const SEGMENT: u64 = 128;

fn medium() -> SimMedium {
    Simulation::new(Model::CACHES_KEPT, LOG + 8 * SEGMENT).medium()
}

fn options(opening: u64) -> Options {
    Options::with_entropy([7, opening]).segment(SEGMENT)
}

/// Checks that every operation of a reader fails with `Replaced`.
fn assert_replaced(replace: impl Fn(&SimMedium)) {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let first = journal.append(&[1; 8]).unwrap();
    journal.append(&[2; 8]).unwrap();
    drop(journal);
    let reader = Reader::open(&medium).unwrap();
    let [mut read, mut begun] = [(); 2].map(|()| reader.records().unwrap());
    let mut salvage = reader.salvage().unwrap();
    assert_eq!(read.by_ref().count(), 2);
    begun.next().unwrap().unwrap();
    replace(&medium);
    let refused = [
        read.next().unwrap().map(drop),
        begun.find(Result::is_err).unwrap().map(drop),
        salvage.find(Result::is_err).unwrap().map(drop),
        reader.records().map(drop),
        reader.records_from(first).map(drop),
        reader.salvage().map(drop),
        reader.verify().map(drop),
    ];
    for refused in refused {
        assert!(matches!(reason(&refused), Some(ErrorKind::Replaced)), "{refused:?}");
    }
}

#[test]
fn a_reader_is_refused_after_an_opening() {
    assert_replaced(|medium| drop(options(1).open(medium).unwrap()));
    assert_replaced(|medium| {
        let (journal, _) = options(1).open(medium).unwrap();
        for number in 0..40 {
            journal.append(&[number; 40]).unwrap();
            journal.trim(journal.end()).unwrap();
        }
    });
}

/// Erased as the text of the error `Exists` advises.
#[test]
fn a_reader_is_refused_after_another_creation() {
    let overwrite = |medium: &SimMedium| {
        (0..4).for_each(|slot| medium.write(4096 * slot, &[0; 128]));
    };
    assert_replaced(overwrite);
    assert_replaced(|medium| {
        overwrite(medium);
        let other = Options::with_entropy([8, 0]).segment(SEGMENT);
        other.create_new(medium).unwrap().0.append(&[3; 8]).unwrap();
    });
    assert_replaced(|medium| {
        (0..4).for_each(|slot| medium.write(4096 * slot, b"LUKS\xba\xbe\0\x02"));
    });
}

/// A new reader continues at the end that the old one reached.
#[test]
fn a_new_reader_goes_on_after_the_last_record_of_a_replaced_one() {
    let medium = medium();
    options(0).create_new(&medium).unwrap().0.append(&[1; 8]).unwrap();
    let reader = Reader::open(&medium).unwrap();
    let end = reader.records().unwrap().last().unwrap().unwrap().end;
    options(1).open(&medium).unwrap().0.append(&[2; 8]).unwrap();
    let reader = Reader::open(&medium).unwrap();
    let next: Vec<_> = reader.records_from(end).unwrap().map(Result::unwrap).collect();
    assert_eq!((next.len(), &next[0].payload[..]), (1, &[2; 8][..]));
}

/// 20 records, one per segment, in 8 segments.
#[test]
fn a_reader_opened_before_a_lap_returns_the_records_from_the_oldest_one_on() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let reader = Reader::open(&medium).unwrap();
    let mut late = reader.records().unwrap();
    let mut last = Position(0);
    for number in 0..20 {
        journal.trim(journal.end()).unwrap();
        last = journal.append(&[number; 48]).unwrap();
    }
    let mut records = reader.records().unwrap();
    assert_eq!(records.next().unwrap().unwrap().payload, [19; 48]);
    assert!(records.next().is_none());
    let found = reader.verify().unwrap();
    assert_eq!((found.records, found.damage), (1, None));
    assert_eq!(reader.records_from(last).unwrap().count(), 1);
    assert_eq!(reader.salvage().unwrap().count(), 1);
    let refused = late.next().unwrap();
    assert!(matches!(reason(&refused), Some(ErrorKind::NotABoundary { .. })), "{refused:?}");
}

/// A kept reader passes a trim of records that it has read.
#[test]
fn a_reader_follows_appends_and_trims() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records().unwrap();
    for number in 0..100 {
        journal.append(&[number; 48]).unwrap();
        assert_eq!(records.next().unwrap().unwrap().payload, [number; 48]);
        assert!(records.next().is_none());
        if number % 3 == 0 {
            journal.trim(journal.end()).unwrap();
        }
    }
}
