//! Random lives of a journal compared with a model of its records: several openings, records in progress at the end of
//! a process, and positions to read from and to trim to.

use crate::claims::{LOG, reason, records};
use crate::faulty::{Faulty, append_behind};
use cachemaint::medium::Medium;
use cachemaint_journal::{Error, ErrorKind, Group, Journal, Options, Position, Reader, Salvaged};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_test_support::cases::cases;
use core::fmt::Debug;

const LIVES: u64 = 100;
/// The number of processes in a life.
const OPENINGS: u64 = 12;

/// The position, the end and the payload of a record.
type Entry = (u64, u64, Vec<u8>);

fn entries<M: Medium>(journal: &Journal<M>) -> Vec<Entry>
where
    M::Error: Debug,
{
    let entry =
        |record: cachemaint_journal::Record| (record.position.0, record.end.0, record.payload);
    records(journal).unwrap().into_iter().map(entry).collect()
}

/// A journal, and the records that it must have.
struct Lived<'m> {
    random: fastrand::Rng,
    segment: u64,
    is_powersafe: bool,
    medium: &'m SimMedium,
    opening: u64,
    number: u64,
    entries: Vec<Entry>,
    /// The maximum number of records in progress that may be found.
    may_count: usize,
    /// The operations so far, for messages.
    done: Vec<String>,
}

impl Lived<'_> {
    fn options(&mut self) -> Options {
        self.opening += 1;
        Options::with_entropy([7, self.opening])
            .segment(self.segment)
            .powersafe_overwrite(self.is_powersafe)
    }

    /// Adds the records in progress that an opening has found to the model.
    fn adopt<M: Medium>(&mut self, journal: &Journal<M>)
    where
        M::Error: Debug,
    {
        let mut found = entries(journal);
        let under_way = found.split_off(found.len().min(self.entries.len()));
        assert!(under_way.len() <= self.may_count, "{under_way:?} {:#?}", self.done);
        self.entries.extend(under_way);
        self.may_count = 0;
        self.done.push(format!("open {}", journal.end()));
    }

    /// Checks that all ways to read the journal return the records, from each position that a program can keep.
    fn check<M: Medium>(&self, journal: &Journal<M>)
    where
        M::Error: Debug,
    {
        let Self { entries, done, .. } = self;
        assert_eq!(self::entries(journal), *entries, "{done:#?}");
        let reader = Reader::open(self.medium).unwrap();
        let found = reader.verify().unwrap();
        assert_eq!((found.damage, found.root_lost), (None, false), "{done:#?}");
        assert_eq!(found.records, entries.len() as u64, "{done:#?}");
        let end = entries.last().map_or(journal.head().0, |last| last.1);
        assert_eq!(found.end.0, end, "{done:#?}");
        let salvaged = reader.salvage().unwrap().filter_map(|found| match found.unwrap() {
            Salvaged::Record(record) => Some(record.position.0),
            Salvaged::Skipped(_) => None,
        });
        // Records that were in progress may follow.
        let is_salvaged = entries.iter().map(|entry| entry.0).eq(salvaged.take(entries.len()));
        assert!(is_salvaged, "{done:#?}");
        let begins = entries.iter().enumerate().map(|(place, entry)| (entry.0, place));
        let ends = entries.iter().enumerate().map(|(place, entry)| (entry.1, place + 1));
        let edges = [(journal.head().0, 0), (journal.end().0, entries.len())];
        for (position, from) in begins.chain(ends).chain(edges) {
            let (position, left) = (Position(position), entries.len() - from);
            assert_eq!(journal.records_from(position).unwrap().count(), left, "{done:#?}");
            assert_eq!(reader.records_from(position).unwrap().count(), left, "{done:#?}");
        }
    }

    /// Appends a record, or a group of two.
    fn append<M: Medium>(&mut self, journal: &Journal<M>) -> Result<(), Error<M::Error>> {
        let most = journal.largest() as usize;
        let len = if self.random.u8(0..8) == 0 { most } else { self.random.usize(0..most.min(80)) };
        let payload = |number: u64, len| vec![number as u8; len];
        self.number += 1;
        let alignment = if self.is_powersafe { 8 } else { 4096 };
        let end = |at: u64, len: usize| at + (16 + len as u64).next_multiple_of(alignment);
        if self.random.u8(0..4) > 0 {
            let payload = payload(self.number, len);
            let at = journal.append(&payload)?.0;
            self.done.push(format!("append {len} at {at}"));
            self.entries.push((at, end(at, len), payload));
        } else {
            let mut group = Group::new();
            let payloads = [payload(self.number, len % 8), payload(self.number, len % 16)];
            for payload in &payloads {
                group.push(payload);
            }
            let range = journal.append_group(&mut group)?;
            self.done.push(format!("group {range:?}"));
            let mut at = range.start.0;
            for payload in payloads {
                let begin = at;
                at = end(begin, payload.len());
                self.entries.push((begin, at, payload));
            }
            assert_eq!(range.end.0, at, "{:#?}", self.done);
        }
        Ok(())
    }

    /// Trims to one of the possible positions.
    fn trim<M: Medium>(
        &mut self,
        journal: &Journal<M>,
        reached: Position,
    ) -> Result<(), Error<M::Error>> {
        let mut positions = vec![journal.head().0, journal.end().0, reached.0];
        positions.extend(self.entries.iter().flat_map(|entry| [entry.0, entry.1]));
        let to = positions[self.random.usize(0..positions.len())];
        self.done.push(format!("trim {to}"));
        journal.trim(Position(to))?;
        self.entries.retain(|entry| entry.0 >= to);
        Ok(())
    }

    /// A process that completes its operations, and ends with or without records in progress.
    fn live(&mut self) {
        let faulty = Faulty::new(self.medium);
        let (journal, _) = self.options().open(&faulty).unwrap();
        self.adopt(&journal);
        self.check(&journal);
        let mut tail = journal.records().unwrap();
        let mut read = 0;
        for _ in 0..self.random.u8(0..8) {
            match self.random.u8(0..8) {
                0..5 => {
                    let appended = self.append(&journal);
                    let refused = reason(&appended);
                    let is_right = matches!(refused, None | Some(ErrorKind::Full { .. }));
                    assert!(is_right, "{refused:?}");
                }
                _ => self.trim(&journal, tail.reached()).unwrap(),
            }
            self.check(&journal);
            // A kept iteration returns each record once, including trimmed ones.
            for record in &mut tail {
                let record = record.unwrap();
                assert!(record.position.0 >= read, "{:#?}", self.done);
                read = record.end.0;
            }
            assert_eq!(tail.reached(), journal.end(), "{:#?}", self.done);
        }
        if self.random.bool() && journal.free() > 2 * self.segment {
            // As many as fit a window. None of them is counted.
            let behind = vec![&[9; 8][..]; if self.segment == 128 { 1 } else { 2 }];
            self.done.push("under way".to_owned());
            append_behind(&journal, self.random.usize(0..8), &behind);
            let found = Reader::open(self.medium).unwrap().verify().unwrap();
            let is_torn = found.damage.is_none() && found.after_gap == behind.len() as u64;
            assert!(is_torn, "{found:?} {:#?}", self.done);
        } else if self.random.bool() {
            journal.close().unwrap();
        }
    }

    /// A process that is killed after some stores, write-backs and fences.
    fn die(&mut self) {
        let mortal = self.medium.mortal(self.random.u64(0..60));
        let Ok((journal, _)) = self.options().open(&mortal) else { return };
        self.adopt(&journal);
        // A record or a group.
        self.may_count = 2;
        loop {
            let lived = match self.random.u8(0..4) {
                0 => self.trim(&journal, journal.end()),
                _ => self.append(&journal),
            };
            match reason(&lived) {
                None => {}
                Some(ErrorKind::Full { .. }) => self.trim(&journal, journal.end()).unwrap_or(()),
                Some(_) => break,
            }
        }
        // A trim that was in progress may have happened.
        self.medium.killed();
        let head = Reader::open(self.medium).unwrap().head().0;
        self.entries.retain(|entry| entry.0 >= head);
    }
}

#[test]
fn a_journal_has_its_records_after_each_operation_of_random_lives() {
    for seed in 0..cases(LIVES) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (segment, is_powersafe) =
            [(128, true), (256, true), (1024, true), (16384, false)][random.usize(0..4)];
        let bytes = LOG + random.u64(3..8) * segment;
        let medium = Simulation::new(Model::CACHES_KEPT, bytes).medium();
        let (entries, done) = (Vec::new(), vec![format!("{seed}: {bytes} {segment}")]);
        let (medium, opening, number, may_count) = (&medium, 0, 0, 0);
        let mut lived = Lived {
            random,
            segment,
            is_powersafe,
            medium,
            opening,
            number,
            entries,
            may_count,
            done,
        };
        drop(lived.options().create_new(medium).unwrap());
        for _ in 0..OPENINGS {
            if lived.random.u8(0..4) == 0 { lived.die() } else { lived.live() }
        }
    }
}
