//! A log with several producers: each persists its own record, and acknowledges it once all earlier ones are
//! persistent, so that the log is a prefix after a crash. The order of the producers is known only in ordinary memory.

use super::{ACKNOWLEDGED, EACH, Source, assert_found, assert_safe};
use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::ViolationKind::Lost;
use cachemaint_sim::mutation::{Mutation, Setting};
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use core::sync::atomic::{AtomicBool, AtomicUsize};

/// Bytes of a record: its number from 1, as words, and their checksum.
const RECORD: usize = 16;
const RECORDS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A record is acknowledged when it is persistent, although the previous one may not be.
    AloneIsEnough,
    /// A record is done before it is persistent.
    DoneTooEarly,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("producers.rs") };

/// The state that the producers share.
#[derive(Default)]
struct Log {
    reserved: AtomicUsize,
    done: [AtomicBool; RECORDS],
}

fn record(number: usize) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..8]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Returns the offset of a record.
const fn place(number: usize) -> u64 {
    (number * RECORD) as u64
}

impl Log {
    fn append(&self, medium: &SimMedium, notes: &Notes<'_, usize>, bug: Option<Bug>) {
        let number = self.reserved.fetch_add(1, AcqRel);
        let at = place(number);
        let done = &self.done[number];
        done.store(bug == Some(Bug::DoneTooEarly), Release);
        medium.write(at, &record(number));
        medium.issue_writeback(at..place(number + 1)).unwrap();
        medium.fence().unwrap();
        done.store(true, Release);
        if bug != Some(Bug::AloneIsEnough) {
            let before = &self.done[..number];
            while !before.iter().all(|done| done.load(Acquire)) {
                medium.pause();
            }
        }
        notes.add(number);
    }
}

/// Returns the number of records, up to the first invalid one.
fn recover(medium: &SimMedium) -> Result<usize, Violation> {
    let mut bytes = [0; RECORD];
    for number in 0..RECORDS {
        medium.read(place(number), &mut bytes)?;
        if bytes != record(number) {
            return Ok(number);
        }
    }
    Ok(RECORDS)
}

/// Explores one producer that appends two records, and another one that appends one.
fn explore(simulation: &Simulation, bug: Option<Bug>) -> Exploration {
    simulation.explore(
        |medium, notes| {
            let log = Log::default();
            let one = || log.append(medium, notes, bug);
            let two = || (0..2).for_each(|_| log.append(medium, notes, bug));
            medium.run_threads(&[&two, &one]);
        },
        |medium, acknowledged| {
            let found = recover(medium)?;
            match acknowledged.iter().find(|number| **number >= found) {
                Some(lost) => Err(Violation::lost(format!("record {lost} of {found}"))),
                None => Ok(()),
            }
        },
    )
}

fn on(model: Model, bug: Option<Bug>) -> Exploration {
    explore(&Simulation::new(model, place(RECORDS)), bug)
}

#[test]
fn the_log_is_safe() {
    assert_safe(&EACH, |model| on(model, None));
}

#[test]
fn every_write_back_and_fence_is_needed() {
    let scenario = |setting: &Setting| explore(&setting.simulation(place(RECORDS)), None);
    Mutation::new().only_in("producers.rs").run(&[&scenario]).assert_none();
}

#[test]
fn an_acknowledgement_behind_a_hole_is_found() {
    // Thread 1 has not fenced yet, and thread 2 acknowledges the record behind.
    let store = SOURCE.at("medium.write(at, &record(number));");
    let note = SOURCE.at("notes.add(number);");
    let operations: [(_, &str); 2] = [("store", &store), ("note", &note)];
    // On x86 the stores of both come to be in one line, in order: it takes a record that is not stored.
    let explore = |model| on(model, Some(Bug::AloneIsEnough));
    assert_found(&EACH, explore, Lost, ACKNOWLEDGED, &operations);
}

#[test]
fn a_record_that_is_done_before_it_is_persistent_is_found() {
    // Thread 2 does not wait for thread 1, which has not stored yet on x86, and not fenced elsewhere: the
    // order of stores within the line hides that on x86.
    let note = SOURCE.at("notes.add(number);");
    let store = SOURCE.at("medium.write(at, &record(number));");
    let explore = |model| on(model, Some(Bug::DoneTooEarly));
    let operations: [(_, &str); 2] = [("store", &store), ("note", &note)];
    assert_found(&EACH, explore, Lost, ACKNOWLEDGED, &operations);
}
