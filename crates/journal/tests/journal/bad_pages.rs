//! A writer of a mapped file with a bad page.

use cachemaint::medium::{Bytes, Granularity};
use cachemaint_journal::{ErrorKind, Fault, Journal, Options, Reader};
use cachemaint_test_support::bad_blocks::{Mapped, PAGE};

/// The offset of the log.
const LOG: u64 = 5 * PAGE;
const SEGMENT: u64 = PAGE;

fn options() -> Options {
    Options::with_entropy([1, 2]).segment(SEGMENT)
}

/// Returns the bytes of a journal with 100 records in three segments of 16.
fn lived() -> Vec<u8> {
    let medium = Mapped::new(vec![0; (LOG + 16 * SEGMENT) as usize], Granularity::Line(64), &[]);
    let (journal, _) = options().create_new(&medium).unwrap();
    append(&journal, 0..100);
    journal.close().unwrap();
    medium.bytes()
}

fn append(journal: &Journal<&Mapped>, numbers: core::ops::Range<u8>) {
    for number in numbers {
        journal.append(&[number; 100]).unwrap();
    }
}

#[test]
fn a_bad_page_among_the_records_is_damage() {
    let bytes = lived();
    for segment in 0..3 {
        let bad = LOG + segment * SEGMENT;
        let medium = Mapped::new(bytes.clone(), Granularity::Line(64), &[bad]);
        let refused = options().open(&medium).unwrap_err();
        let ErrorKind::Damaged(damage) = refused.error.kind() else { panic!("{refused}") };
        assert_eq!((damage.fault, damage.offset / PAGE * PAGE), (Fault::Unreadable, bad));
    }
}

#[test]
fn a_writer_opens_beside_a_bad_slot_of_the_root_and_trims() {
    let bytes = lived();
    for granularity in [Granularity::Line(64), Granularity::Page(4096)] {
        for bad in [0, PAGE, 2 * PAGE, 3 * PAGE] {
            let medium = Mapped::new(bytes.clone(), granularity, &[bad]);
            let (journal, opened) = options().open(&medium).unwrap();
            assert_eq!(opened.recovered.records, 100);
            append(&journal, 100..110);
            for _ in 0..2 {
                journal.trim(journal.end()).unwrap();
                append(&journal, 0..2);
            }
            drop(journal);
            let bytes = medium.bytes();
            let records = Reader::open(Bytes(&bytes)).unwrap().records().unwrap().count();
            assert_eq!(records, 2, "{bad}");
        }
    }
}
