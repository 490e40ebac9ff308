//! A ring of records that are used again: the oldest is known, the newest is the last valid one.

use super::{EACH, assert_safe};
use cachemaint::medium::Medium;
use cachemaint_sim::ViolationKind::Broken;
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// The offset of the number of the oldest record. Records begin in the next line: number, value,
/// checksum.
const OLDEST: u64 = 0;
const RECORDS: u64 = 64;
const RECORD: usize = 24;
const SLOTS: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// Recovery does not look at a record's number: one of the lap before counts.
    StaleLap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Pushing,
    Pushed,
    Popping,
    Popped,
}

struct Ring<'m, M> {
    medium: &'m M,
    bug: Option<Bug>,
}

const fn place(number: u64) -> u64 {
    RECORDS + number % SLOTS * RECORD as u64
}

fn record(number: u64, value: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&number.to_le_bytes());
    record[8..16].copy_from_slice(&value.to_le_bytes());
    let checksum = crc32c::crc32c(&record[..16]);
    record[16..].copy_from_slice(&u64::from(checksum).to_le_bytes());
    record
}

impl<M: Medium> Ring<'_, M> {
    fn push(&self, number: u64, value: u64) -> Result<(), M::Error> {
        let at = place(number);
        self.medium.write(at, &record(number, value));
        self.medium.persist(at..at + RECORD as u64)
    }

    fn pop(&self) -> Result<(), M::Error> {
        let oldest = self.medium.load(OLDEST, Relaxed);
        self.medium.store(OLDEST, oldest + 1, Relaxed);
        self.medium.persist(OLDEST..OLDEST + 8)
    }

    /// Returns the values from the oldest to the last valid one.
    fn values(&self) -> Result<Vec<u64>, M::Error> {
        let oldest = self.medium.load(OLDEST, Relaxed);
        let mut values = Vec::new();
        for expected in oldest..oldest + SLOTS {
            let mut found = [0; RECORD];
            self.medium.read(place(expected), &mut found)?;
            let (number, value) = (word(&found[..8]), word(&found[8..16]));
            let is_whole = found == record(number, value);
            if !is_whole || number != expected && self.bug != Some(Bug::StaleLap) {
                break;
            }
            values.push(value);
        }
        Ok(values)
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// All values are the same, so that only the numbers distinguish the records.
const VALUE: u64 = 7;

fn workload(medium: &SimMedium, notes: &Notes<'_, Note>) {
    let ring = Ring { medium, bug: None };
    for number in 1..=3 {
        notes.add(Note::Pushing);
        ring.push(number, VALUE).unwrap();
        notes.add(Note::Pushed);
        if number > 1 {
            notes.add(Note::Popping);
            ring.pop().unwrap();
            notes.add(Note::Popped);
        }
    }
}

fn judge(medium: &SimMedium, notes: &[Note], bug: Option<Bug>) -> Result<(), Violation> {
    let values = Ring { medium, bug }.values()?;
    let count = |note: Note| notes.iter().filter(|other| **other == note).count();
    let least = count(Note::Pushed) - count(Note::Popping).min(count(Note::Pushed));
    let most = count(Note::Pushing) - count(Note::Popped);
    let is_right = (least..=most).contains(&values.len());
    Violation::unless(is_right, || format!("{values:?}, of {least} to {most} values"))
}

fn explore(model: Model, bug: Option<Bug>) -> Exploration {
    let first = |medium: &SimMedium| medium.store(OLDEST, 1, Relaxed);
    Simulation::new(model, 128)
        .prepared(first)
        .explore(workload, |medium, notes| judge(medium, notes, bug))
}

#[test]
fn the_ring_is_safe() {
    assert_safe(&EACH, |model| explore(model, None));
}

#[test]
fn a_record_of_the_lap_before_is_found() {
    // As soon as record 1 is popped, it is taken for record 3: nothing of it is lost, and no order helps.
    for model in EACH {
        let found = explore(model, Some(Bug::StaleLap));
        let failure = found.failure.as_deref().expect("record 1 counts again");
        assert_eq!((failure.violation.kind, &failure.cause), (Broken, &None), "{failure}");
    }
}
