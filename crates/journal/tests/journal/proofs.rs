//! No record of another time or place is accepted in place of a missing one.

use crate::claims::{LOG, kill, reason};
use crate::faulty::{Faulty, append_behind};
use crate::life::records;
use cachemaint::medium::{Medium, Readable};
use cachemaint_journal::{ErrorKind, Journal, Opened, Options, Reader};
use cachemaint_sim::{Model, SimMedium, Simulation};
use core::sync::atomic::Ordering::{self, Relaxed};
use core::sync::atomic::{AtomicU32, AtomicU64};

const SEGMENT: u64 = 1024;
const BYTES: u64 = LOG + 16 * SEGMENT;

fn medium() -> SimMedium {
    Simulation::new(Model::CACHES_KEPT, BYTES).medium()
}

fn options(opening: u64) -> Options {
    Options::with_entropy([7, opening]).segment(SEGMENT)
}

/// Returns a copy of the medium as a killed process leaves it.
fn killed(medium: &SimMedium) -> SimMedium {
    let mut bytes = vec![0; BYTES as usize];
    medium.read(0, &mut bytes).unwrap();
    let copy = self::medium();
    copy.write(0, &bytes);
    copy
}

fn payloads<M: Medium>(journal: &Journal<M>) -> Vec<Vec<u8>> {
    records(journal).unwrap().into_iter().map(|record| record.payload).collect()
}

/// An opening reuses the segment of an earlier one whose records are all missing. Both have records up to 128, and the
/// earlier one began the next segment there.
#[test]
fn a_mark_of_an_earlier_epoch_counts_for_nothing() {
    let medium = medium();
    let faulty = Faulty::new(&medium);
    let (journal, _) = options(0).create_new(&faulty).unwrap();
    append_behind(&journal, 48, &[&[b'B'; 900]]);

    let (journal, Opened { recovered, .. }) = options(1).open(&medium).unwrap();
    assert_eq!((recovered.records, recovered.after_gap), (0, 1));
    journal.append(&[b'A'; 48]).unwrap();
    assert_eq!(journal.end().0, 128);
    kill(&medium, journal);

    let (journal, Opened { recovered, .. }) = options(2).open(&medium).unwrap();
    assert_eq!((recovered.end.0, recovered.torn), (128, false));
    assert_eq!(payloads(&journal), [[b'A'; 48]]);
}

/// Returns a payload as programs frame it, with the CRC32C of its bytes at the end.
fn framed(fill: u8, len: usize) -> Vec<u8> {
    let mut payload = vec![fill; len - 4];
    payload.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    payload
}

/// The header of a record is durable, but its payload is that of an earlier lap, which ends with a valid CRC32C too.
#[test]
fn the_payload_of_an_earlier_lap_is_not_taken_for_that_of_a_record() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let place = |position: u64| LOG + position % (16 * SEGMENT);
    // A record of 48 bytes after the mark, then records of 128, whose headers end a line.
    let (first, size) = (64 + 48, 128);
    assert!((place(first) + 16).is_multiple_of(64));
    journal.append(&[0; 32]).unwrap();
    let old = framed(b'o', 112);
    let position = journal.append(&old).unwrap().0;
    assert_eq!(position, first);
    // One lap around the ring. Each segment has a mark of 64 bytes, and is filled the same way.
    loop {
        let end = journal.end().0;
        if end / (16 * SEGMENT) == 1 && place(end) == place(first) {
            break;
        }
        let left = SEGMENT - end % SEGMENT;
        let len = if end.is_multiple_of(SEGMENT) { 32 } else { (left - 16).min(size - 16) };
        let appended = journal.append(&vec![1; len as usize]);
        if matches!(reason(&appended), Some(ErrorKind::Full { .. })) {
            journal.trim(journal.end()).unwrap();
        } else {
            appended.unwrap();
        }
    }
    let before = killed(&medium);
    let position = journal.append(&framed(b'n', 112)).unwrap().0;
    assert_eq!(position, first + 16 * SEGMENT);

    // Only the line of the header is durable.
    let at = place(position);
    let mut header = [0; 16];
    medium.read(at, &mut header).unwrap();
    before.write(at, &header);
    let mut payload = [0; 112];
    before.read(at + 16, &mut payload).unwrap();
    assert_eq!(payload[..], old);
    let reader = Reader::open(&before).unwrap();
    let recovered = reader.verify().unwrap();
    assert_eq!(recovered.end.0, position);
    assert!(recovered.torn);
}

/// Both payloads have the same length and end with a valid CRC32C.
#[test]
fn of_two_records_the_payloads_cannot_be_exchanged() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let one = journal.append(&framed(1, 48)).unwrap().0;
    let other = journal.append(&framed(2, 48)).unwrap().0;
    journal.append(b"behind").unwrap();
    drop(journal);
    let mut payload = [0; 48];
    medium.read(LOG + other + 16, &mut payload).unwrap();
    medium.write(LOG + one + 16, &payload);
    let opened = options(1).open(&medium);
    let Some(ErrorKind::Damaged(damage)) = reason(&opened) else { panic!("it was opened") };
    assert_eq!(damage.at.0, one);
}

/// A medium that calls `behind` after each read. It may change the bytes read.
struct Hooked<'m, F> {
    medium: &'m SimMedium,
    behind: F,
}

impl<F: Fn(u64, &mut [u8]) + Sync> Readable for Hooked<'_, F> {
    type Error = <SimMedium as Readable>::Error;

    fn len(&self) -> u64 {
        Readable::len(self.medium)
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Self::Error> {
        Readable::try_load(self.medium, at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Self::Error> {
        Readable::read(self.medium, at, into)?;
        (self.behind)(at, into);
        Ok(())
    }

    fn check(&self) -> Result<(), Self::Error> {
        Readable::check(self.medium)
    }
}

/// While each of the first attempts reads a record, the journal is trimmed and filled again.
#[test]
fn a_verification_is_overtaken_by_trims_64_times() {
    for (overtakes, is_refused) in [(63, false), (64, true)] {
        let medium = medium();
        let (journal, _) = options(0).create_new(&medium).unwrap();
        let fill = || while journal.append(&[7; 200]).is_ok() {};
        fill();
        let (left, last) = (AtomicU32::new(overtakes), AtomicU64::new(0));
        let overtake = |_, into: &mut [u8]| {
            // The first record of an attempt.
            let end = journal.end().0;
            if into.len() == 200 && left.load(Relaxed) > 0 && last.swap(end, Relaxed) != end {
                left.fetch_sub(1, Relaxed);
                journal.trim(journal.end()).unwrap();
                fill();
            }
        };
        let hooked = Hooked { medium: &medium, behind: overtake };
        let found = Reader::open(&hooked).unwrap().verify();
        match reason(&found) {
            None if !is_refused => assert_eq!(found.unwrap().damage, None),
            Some(ErrorKind::NotABoundary { position, head, .. }) if is_refused => {
                assert_eq!(position, head);
            }
            _ => panic!("{found:?}"),
        }
    }
}

#[test]
fn roots_that_change_while_they_are_read_are_read_again() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    journal.append(b"first").unwrap();
    journal.trim(journal.end()).unwrap();
    let end = journal.end();
    // The first read of each slot is torn, as if a trim wrote it at the same time.
    let torn = AtomicU32::new(4);
    let tear = |_, into: &mut [u8]| {
        if torn.load(Relaxed) > 0 {
            torn.fetch_sub(1, Relaxed);
            into[40] ^= 1;
        }
    };
    let torn_twice = Hooked { medium: &medium, behind: tear };
    let reader = Reader::open(&torn_twice).unwrap();
    assert_eq!(reader.head(), end);
}
