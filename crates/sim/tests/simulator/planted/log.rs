//! A log of checksummed records: an append is durable by one write-back and one fence.

use super::{ACKNOWLEDGED, EACH, Source, assert_found, assert_safe};
use cachemaint::medium::Medium;
use cachemaint_sim::ViolationKind::Lost;
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};

/// A record: its length, a checksum, and bytes. It crosses lines, as its size divides none.
const RECORD: usize = 40;
const HEAD: usize = 16;

/// The appended bytes.
const BYTES: [[u8; 24]; 2] = [[b'a'; 24], [b'b'; 24]];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A record is not written back.
    NoWriteback,
    /// A record is written back before it is written.
    WritebackFirst,
    /// A record is written back without a fence.
    NoFence,
    /// The fence comes before the write-back.
    FenceFirst,
    /// The record is acknowledged before the write-back.
    AckFirst,
    /// The record is acknowledged before the fence.
    EarlyAck,
    /// The write-back forgets that a head comes before the bytes: it misses the last line.
    ShortWriteback,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("log.rs") };

struct Log<'m, M> {
    medium: &'m M,
    bug: Option<Bug>,
}

impl<M: Medium> Log<'_, M> {
    /// Appends a record, and calls `done` when it is durable.
    fn append(&self, number: usize, bytes: [u8; 24], done: impl Fn()) -> Result<(), M::Error> {
        let (at, end) = (start(number), start(number + 1));
        if self.bug == Some(Bug::WritebackFirst) {
            self.medium.issue_writeback(at..end)?; // too early
        }
        self.medium.write(at, &record(bytes));
        if self.bug == Some(Bug::AckFirst) {
            done();
        }
        if self.bug == Some(Bug::FenceFirst) {
            self.medium.fence(); // too early
        }
        match self.bug {
            Some(Bug::NoWriteback | Bug::WritebackFirst) => {}
            Some(Bug::ShortWriteback) => self.medium.issue_writeback(at..at + 24)?,
            _ => self.medium.issue_writeback(at..end)?,
        }
        if self.bug == Some(Bug::EarlyAck) {
            done();
        }
        if !matches!(self.bug, Some(Bug::NoFence | Bug::FenceFirst)) {
            self.medium.fence();
        }
        if !matches!(self.bug, Some(Bug::AckFirst | Bug::EarlyAck)) {
            done();
        }
        Ok(())
    }

    /// Returns the records up to the first that is not whole.
    fn records(&self) -> Result<Vec<[u8; 24]>, M::Error> {
        let mut records = Vec::new();
        for number in 0..BYTES.len() {
            let mut found = [0; RECORD];
            self.medium.read(start(number), &mut found)?;
            let Ok(bytes) = found[HEAD..].try_into() else { break };
            if found != record(bytes) {
                break;
            }
            records.push(bytes);
        }
        Ok(records)
    }
}

/// Returns the offset of a record.
const fn start(number: usize) -> u64 {
    (number * RECORD) as u64
}

fn record(bytes: [u8; 24]) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    record[HEAD..].copy_from_slice(&bytes);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&record[..8]), &bytes);
    record[8..HEAD].copy_from_slice(&u64::from(checksum).to_le_bytes());
    record
}

fn workload(medium: &SimMedium, notes: &Notes<'_, usize>, bug: Option<Bug>) {
    let log = Log { medium, bug };
    for (number, bytes) in BYTES.into_iter().enumerate() {
        log.append(number, bytes, || notes.add(number)).unwrap();
    }
}

/// Checks that all acknowledged records are there, and no others than the appended ones.
fn judge(medium: &SimMedium, acknowledged: &[usize]) -> Result<(), Violation> {
    let records = Log { medium, bug: None }.records()?;
    if let Some(missing) = acknowledged.get(records.len()) {
        return Err(Violation::lost(format!("record {missing}")));
    }
    Violation::unless(BYTES.starts_with(&records), || format!("the records are {records:?}"))
}

fn explore(model: Model, bug: Option<Bug>) -> Exploration {
    Simulation::new(model, 128).explore(|medium, notes| workload(medium, notes, bug), judge)
}

/// Returns the place of the store of a record.
fn store() -> String {
    SOURCE.at("self.medium.write(at, &record(bytes));")
}

/// Returns the place of the acknowledgement.
fn acknowledgement() -> String {
    SOURCE.at("log.append(number, bytes, || notes.add(number)).unwrap();")
}

#[test]
fn the_log_is_safe() {
    assert_safe(&EACH, |model| explore(model, None));
    assert_safe(&[Model::PAGES], |model| explore(model, Some(Bug::NoFence)));
}

/// Each leaves a record that is acknowledged before it is persistent.
#[test]
fn a_record_acknowledged_too_early_is_found() {
    let bugs = [
        Bug::NoWriteback,
        Bug::WritebackFirst,
        Bug::AckFirst,
        Bug::NoFence,
        Bug::FenceFirst,
        Bug::EarlyAck,
        Bug::ShortWriteback,
    ];
    let operations: [(_, &str); 2] = [("store", &store()), ("note", &acknowledgement())];
    for bug in bugs {
        let explore = |model| explore(model, Some(bug));
        assert_found(&EACH, explore, Lost, ACKNOWLEDGED, &operations);
    }
    // A page is there when its write-back returns.
    let explore = |model| explore(model, Some(Bug::NoWriteback));
    assert_found(&[Model::PAGES], explore, Lost, ACKNOWLEDGED, &operations);
}
