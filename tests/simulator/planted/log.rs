//! A log of checksummed records: an append is durable by one write-back and one fence.

use super::{EACH, Source, assert_found, assert_safe};
use cachemaint::medium::Medium;
use cachemaint::sim::ViolationKind::Lost;
use cachemaint::sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};

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

/// Returns the place of the write-back of a whole record.
fn writeback() -> String {
    SOURCE.at("_ => self.medium.issue_writeback(at..end)?,")
}

#[test]
fn the_log_is_safe() {
    assert_safe(&EACH, |model| explore(model, None));
    assert_safe(&[Model::PAGES], |model| explore(model, Some(Bug::NoFence)));
}

#[test]
fn a_missing_write_back_is_found() {
    let says = [
        &*store(),
        &acknowledgement(),
        "the line of the torn write was never written back; write it back and fence",
    ];
    assert_found(&EACH, |model| explore(model, Some(Bug::NoWriteback)), Lost, &says);
    // A page is there when its write-back returns: no fence is asked for.
    let says = ["the page of the torn write was never written back; write it back before event 3"];
    assert_found(&[Model::PAGES], |model| explore(model, Some(Bug::NoWriteback)), Lost, &says);
}

#[test]
fn a_write_back_before_the_store_is_found() {
    // The next record's write-back has a part of this one, but that is too late.
    let early = SOURCE.at("self.medium.issue_writeback(at..end)?; // too early");
    let explore = |model| explore(model, Some(Bug::WritebackFirst));
    let early = ["the line of the torn write was written back at", &early];
    let says = [&*store(), early[0], early[1], "before that, and then not"];
    assert_found(&[Model::X86, Model::ARM64], explore, Lost, &says);
    // No other record shares a line with this one.
    let says = [&*store(), early[0], early[1], "but not after the store"];
    assert_found(&[Model::NEUTRAL], explore, Lost, &says);
}

#[test]
fn an_acknowledgement_before_the_write_back_is_found() {
    let late = format!("the line of the torn write is not written back until {}", writeback());
    let says = [&*store(), &acknowledgement(), &late, "write it back and fence before event 2"];
    assert_found(&EACH, |model| explore(model, Some(Bug::AckFirst)), Lost, &says);
}

#[test]
fn a_missing_fence_is_found() {
    let says = [&*store(), &writeback(), "but no fence followed; fence before event 3"];
    assert_found(&EACH, |model| explore(model, Some(Bug::NoFence)), Lost, &says);
}

#[test]
fn a_fence_before_the_write_back_is_found() {
    let early = SOURCE.at("self.medium.fence(); // too early");
    let says = [&*store(), &early, &writeback(), "fence after the write-back and before event 4"];
    assert_found(&EACH, |model| explore(model, Some(Bug::FenceFirst)), Lost, &says);
}

#[test]
fn an_acknowledgement_before_the_fence_is_found() {
    let late = SOURCE.at("self.medium.fence();");
    let says = [&*store(), &acknowledgement(), &late, "fence before event 3, not only at"];
    assert_found(&EACH, |model| explore(model, Some(Bug::EarlyAck)), Lost, &says);
}

#[test]
fn a_write_back_that_misses_the_last_line_is_found() {
    // Record 1 is at 40..80, of which 40..64 is written back: one word, at 64, is missed.
    let short =
        SOURCE.at("Some(Bug::ShortWriteback) => self.medium.issue_writeback(at..at + 24)?,");
    let explore = |model| explore(model, Some(Bug::ShortWriteback));
    let says = [
        &*store(),
        &short,
        "has 0x28..0x40 and misses the line at 0x40",
        "write all of it back and fence before event 8",
    ];
    assert_found(&[Model::X86, Model::ARM64], explore, Lost, &says);
    // Two words of record 0 are missed if no line is promised.
    let says = [
        &*store(),
        &short,
        "has 0x0..0x18 and misses the word at",
        "write all of it back and fence before event 4",
    ];
    assert_found(&[Model::NEUTRAL], explore, Lost, &says);
}
