//! Readers of one process beside openings, trims, repairs and creations of others.

use crate::claims::reason;
use crate::faulty::{Faulty, abandon, append_behind};
use cachemaint::journal::{ErrorKind, Group, Journal, Options, Reader, Records, Recovered};
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint::sim::{Model, SimMedium, Simulation};
use core::convert::Infallible;
use core::mem::take;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};
use std::sync::Mutex;

const SEGMENT: u64 = 128;
const BYTES: u64 = 8192 + 8 * SEGMENT;

fn medium() -> SimMedium {
    Simulation::new(Model::CACHES_KEPT, BYTES).medium()
}

fn options(opening: u64) -> Options<'static> {
    Options::with_entropy([7, opening]).segment(SEGMENT).window(2 * SEGMENT)
}

/// The next payload, or `None` at the end.
fn next<M: Readable<Error = Infallible>>(records: &mut Records<'_, M>) -> Option<Vec<u8>> {
    records.next().map(|record| record.unwrap().payload)
}

/// A medium on which another process takes a turn after each stored word.
struct Stepped<'m, F> {
    medium: &'m SimMedium,
    turn: F,
}

impl<F: Fn() + Sync> Readable for Stepped<'_, F> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        self.medium.read(at, into)
    }

    fn check(&self) -> Result<(), Infallible> {
        self.medium.check()
    }
}

impl<F: Fn() + Sync> Medium for Stepped<'_, F> {
    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.medium.store(at, word, order);
        (self.turn)();
    }

    fn write(&self, at: u64, from: &[u8]) {
        for (at, word) in (at..).step_by(8).zip(from.chunks(8)) {
            self.medium.write(at, word);
            (self.turn)();
        }
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.medium.issue_writeback(range)
    }

    fn fence(&self) {
        self.medium.fence();
    }

    fn order_observed(&self) {
        self.medium.order_observed();
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.medium.deep_persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        self.medium.writer_lock()
    }
}

/// A reader that reads on at each of its turns.
struct Follower<'r> {
    records: Records<'r, &'r SimMedium>,
    read: Vec<Vec<u8>>,
}

impl<'r> Follower<'r> {
    fn new(reader: &'r Reader<&'r SimMedium>) -> Mutex<Self> {
        let mut follower = Self { records: reader.records(), read: Vec::new() };
        follower.turn();
        Mutex::new(follower)
    }

    fn turn(&mut self) {
        while let Some(payload) = next(&mut self.records) {
            self.read.push(payload);
        }
    }
}

/// Opens a journal in its next life while a follower of another process looks once, after so many stored words. Then appends
/// records. Returns what was recovered, the number of words that the opening stored, and all that the follower has read.
fn read_beside_an_opening(
    medium: &SimMedium,
    options: Options<'_>,
    looks_after: u64,
    appended: &[[u8; 24]],
) -> (Recovered, u64, Vec<Vec<u8>>) {
    let reader = Reader::open(medium).unwrap();
    let follower = Follower::new(&reader);
    let stored = AtomicU64::new(0);
    let turn = || {
        if stored.fetch_add(1, Relaxed) + 1 == looks_after {
            follower.lock().unwrap().turn();
        }
    };
    let stepped = Stepped { medium, turn };
    let (journal, recovered) = options.open(&stepped).unwrap();
    let words = stored.load(Relaxed);
    for payload in appended {
        journal.append(payload).unwrap();
    }
    let mut follower = follower.lock().unwrap();
    follower.turn();
    (recovered, words, take(&mut follower.read))
}

/// The record at 104 is missing, and no mark fits there. The record after it is whole, in the next segment, and a mark of
/// the same epoch is before it. The reader looks once, beside the opening, after it has stored so many words.
#[test]
fn a_record_that_an_opening_discards_is_not_read_beside_the_opening() {
    // Those of a superblock, a mark and a void.
    const WORDS: u64 = 16 + 8 + 2;
    for words in 1..=WORDS {
        let medium = medium();
        let faulty = Faulty::new(&medium);
        let journal = options(0).create_new(&faulty).unwrap();
        assert_eq!(journal.append(&[1; 24]).unwrap().0, 64);
        append_behind(&journal, 8, &[&[2; 24]]);

        let (recovered, stored, read) =
            read_beside_an_opening(&medium, options(1), words, &[[3; 24]]);
        assert_eq!((recovered.end.0, recovered.behind), (104, 1));
        assert_eq!(stored, WORDS);
        assert_eq!(read, [[1; 24], [3; 24]], "{words}");
    }
}

/// The end has room for a mark, and an abandoned record has left a void there. The reader looks once, as above.
#[test]
fn a_void_that_an_opening_discards_is_not_passed_beside_the_opening() {
    // Those of a superblock and a mark.
    const WORDS: u64 = 16 + 8;
    let options = |opening| options(opening).segment(2 * SEGMENT).window(4 * SEGMENT);
    for words in 1..=WORDS {
        let medium = medium();
        let faulty = Faulty::new(&medium);
        let journal = options(0).create_new(&faulty).unwrap();
        assert_eq!(journal.append(&[1; 24]).unwrap().0, 64);
        // 16 bytes of a header and these are more than the 152 bytes left in the segment.
        abandon(&journal, 140);

        let appended = [[3; 24], [4; 24], [5; 24], [6; 24]];
        let (recovered, stored, read) =
            read_beside_an_opening(&medium, options(1), words, &appended);
        assert_eq!(recovered.end.0, 104);
        assert_eq!(stored, WORDS);
        assert_eq!(read, [[1; 24], [3; 24], [4; 24], [5; 24], [6; 24]], "{words}");
    }
}

/// 20 records of a segment each, in 8 segments.
#[test]
fn a_reader_opened_before_a_lap_returns_the_records_from_the_oldest_one_on() {
    let medium = medium();
    let journal = options(0).create_new(&medium).unwrap();
    let reader = Reader::open(&medium).unwrap();
    for number in 0..20 {
        journal.trim(journal.end()).unwrap();
        journal.append(&[number; 48]).unwrap();
    }
    let mut records = reader.records();
    assert_eq!(next(&mut records).unwrap(), [19; 48]);
    assert_eq!(next(&mut records), None);
}

/// The opening counts on from the older superblock, to the generation of the lost one.
#[test]
fn a_reader_follows_an_opening_after_damage_to_the_newer_superblock() {
    let medium = medium();
    let journal = options(0).create_new(&medium).unwrap();
    journal.append(&[0; 8]).unwrap();
    journal.trim(journal.end()).unwrap();
    journal.append(&[1; 8]).unwrap();
    drop(journal);
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    assert_eq!(next(&mut records).unwrap(), [1; 8]);
    medium.write(72, &[0xff]);
    assert_eq!(next(&mut records), None);
    let (journal, recovered) = options(1).open(&medium).unwrap();
    assert_eq!((recovered.superblock_lost, recovered.records), (true, 2));
    journal.append(&[2; 8]).unwrap();
    assert_eq!(next(&mut records).unwrap(), [2; 8]);
}

/// The opening whose superblock is lost had no mark yet. The next one has its number, with another key.
#[test]
fn a_reader_follows_an_opening_with_the_number_of_a_lost_one() {
    let medium = medium();
    drop(options(0).create_new(&medium).unwrap());
    let mark: [u8; 64] = read(&medium, 8192);
    drop(options(1).open(&medium).unwrap());
    medium.write(8192, &mark);
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    assert_eq!(next(&mut records), None);
    medium.write(72, &[0xff]);
    let (journal, _) = options(2).open(&medium).unwrap();
    journal.append(&[1; 8]).unwrap();
    assert_eq!(next(&mut records).unwrap(), [1; 8]);
    assert_eq!(reader.verify(&mut |_| ()).unwrap().damage, None);
}

fn read<const N: usize>(medium: &SimMedium, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    medium.read(at, &mut bytes).unwrap();
    bytes
}

/// A superblock that is rebuilt from the marks begins with a low generation.
#[test]
fn a_reader_follows_a_repair_after_the_loss_of_both_superblocks() {
    let medium = medium();
    let journal = options(0).create_new(&medium).unwrap();
    for number in 0..10 {
        journal.trim(journal.end()).unwrap();
        journal.append(&[number; 8]).unwrap();
    }
    drop(journal);
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    assert_eq!(next(&mut records).unwrap(), [9; 8]);
    assert_eq!(next(&mut records), None);
    for at in [0, 4096] {
        medium.write(at + 72, &[0xff]);
    }
    let (journal, repaired) = options(1).repair(&medium).unwrap();
    assert!(repaired.rebuilt && repaired.lost.is_empty(), "{repaired:?}");
    journal.append(&[10; 8]).unwrap();
    assert_eq!(next(&mut records).unwrap(), [10; 8]);
    let found = reader.verify(&mut |_| ()).unwrap();
    assert_eq!((found.records, found.damage), (repaired.records + 1, None));
}

/// The second record of an acknowledged group is damaged. No record vouches for it, so the end is torn, and the repair
/// keeps the two records after it.
#[test]
fn a_reader_waits_at_a_torn_end_while_a_repair_covers_it() {
    let medium = Simulation::new(Model::CACHES_KEPT, 8192 + 16 * SEGMENT).medium();
    let options = |opening| options(opening).segment(2 * SEGMENT).window(4 * SEGMENT);
    let journal = options(0).create_new(&medium).unwrap();
    let mut group = Group::new();
    (0..4).for_each(|number| group.push(&[number; 24]));
    journal.append_group(&mut group).unwrap();
    drop(journal);
    medium.write(8192 + 64 + 40 + 16, &[0xff; 8]);

    let reader = Reader::open(&medium).unwrap();
    let follower = Follower::new(&reader);
    let stepped = Stepped { medium: &medium, turn: || follower.lock().unwrap().turn() };
    let (journal, repaired) = options(1).repair(&stepped).unwrap();
    assert_eq!((repaired.records, repaired.lost.len()), (3, 1));
    journal.append(&[4; 24]).unwrap();
    assert_eq!(follower.lock().unwrap().read, [[0; 24], [2; 24], [3; 24], [4; 24]]);
}

/// Overwrites the superblocks and creates another journal, as the text of [`ErrorKind::Exists`] advises.
fn created_anew(medium: &SimMedium) -> Journal<&SimMedium> {
    for at in [0, 4096] {
        medium.write(at, &[0; 128]);
    }
    let other = Options::with_entropy([8, 0]).segment(SEGMENT).window(2 * SEGMENT);
    other.create_new(medium).unwrap()
}

#[test]
fn a_reader_does_not_go_on_in_another_journal() {
    let medium = medium();
    let journal = options(0).create_new(&medium).unwrap();
    let first = journal.append(&[1; 8]).unwrap();
    drop(journal);
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    assert_eq!(next(&mut records).unwrap(), [1; 8]);

    let other = created_anew(&medium);
    for number in 2..5 {
        other.append(&[number; 8]).unwrap();
        other.trim(other.end()).unwrap();
    }
    other.append(&[5; 8]).unwrap();
    let refused = [
        records.next().unwrap().map(drop),
        reader.records().next().unwrap().map(drop),
        reader.records_from(first).map(drop),
        reader.verify(&mut |_| ()).map(drop),
    ];
    for refused in refused {
        let Some(ErrorKind::Replaced { found, .. }) = reason(&refused) else {
            panic!("{refused:?}")
        };
        assert_eq!(*found, other.identity());
    }
}

/// The trim goes to the end of a record of a new epoch, whose space is not used again.
#[test]
fn a_trimmed_record_of_a_later_epoch_is_read_while_its_space_is_not_used_again() {
    let medium = medium();
    let journal = options(0).create_new(&medium).unwrap();
    journal.append(&[1; 8]).unwrap();
    drop(journal);
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    assert_eq!(next(&mut records).unwrap(), [1; 8]);
    let (journal, _) = options(1).open(&medium).unwrap();
    journal.append(&[2; 8]).unwrap();
    journal.trim(journal.end()).unwrap();
    journal.append(&[3; 8]).unwrap();
    assert_eq!(next(&mut records).unwrap(), [2; 8]);
    assert_eq!(next(&mut records).unwrap(), [3; 8]);
}

/// Each opening leaves a mark, also without a record. The head goes around the ring twice.
#[test]
fn a_reader_follows_over_openings_that_are_trimmed_to_the_end() {
    for looks_each in [1, 2, 4, 8] {
        let medium = medium();
        drop(options(0).create_new(&medium).unwrap());
        let reader = Reader::open(&medium).unwrap();
        let mut records = reader.records();
        for opening in 1..40 {
            let (journal, _) = options(opening).open(&medium).unwrap();
            journal.trim(journal.end()).unwrap();
            if opening % looks_each == 0 {
                assert_eq!(next(&mut records), None, "{opening} of {looks_each}");
            }
        }
        options(40).open(&medium).unwrap().0.append(&[1; 8]).unwrap();
        assert_eq!(next(&mut records).unwrap(), [1; 8]);
    }
}

/// The space of the mark at the place of the reader is used again, and so it cannot find out that no record was there.
#[test]
fn a_reader_that_falls_a_lap_behind_is_refused() {
    let medium = medium();
    drop(options(0).create_new(&medium).unwrap());
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records();
    for opening in 1..40 {
        let (journal, _) = options(opening).open(&medium).unwrap();
        journal.trim(journal.end()).unwrap();
    }
    let refused = records.next().unwrap();
    assert!(matches!(reason(&refused), Some(ErrorKind::NotABoundary { .. })), "{refused:?}");
}
