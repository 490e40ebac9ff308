//! Appends of 64 bytes to an ordinary file in the working directory, each durable on return: the library's journal with
//! page granularity, `write` and `fdatasync`, and a row of SQLite, if it is installed. Then groups of 16, compared with a
//! sync of each record.
//!
//! After criterion's figures the ratios are printed, from interleaved blocks, with their 95 % intervals. They depend on
//! the drive and the file system of the working directory.

use cachemaint::dax::{DaxFile, Options};
use cachemaint_benches::Outcome;
use cachemaint_benches::contenders::{Case, Contender, here, run_cases};
use cachemaint_benches::measure::blocks::Blocks;
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::payloads::Payloads;
#[cfg(target_os = "linux")]
use cachemaint_benches::sqlite::Sqlite;
use cachemaint_journal::{Group, Journal};
use core::cell::Cell;
use core::error::Error;
use core::fmt::Debug;
use core::ops::Range;
use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use tempfile::TempDir;

/// The number of records that one block appends.
const RECORDS: usize = 16;
/// Bytes of a record.
const RECORD: usize = 64;
/// Bytes of a journal: more than all blocks append.
const LOG: u64 = 64 << 20;

fn main() -> ExitCode {
    run_cases(Bench::new(), ("append to a file", &here()), Blocks::at_least(101), {
        |bench: &Bench, then: &mut dyn FnMut(Case<'_>) -> Outcome| {
            then(bench.each()?)?;
            then(bench.together()?)
        }
    })
}

struct Bench {
    clock: Clock,
    folder: TempDir,
}

/// The payloads of a block.
type Block<'a> = dyn Iterator<Item = &'a [u8]> + 'a;

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::Builder::new().prefix("cachemaint-").tempdir_in(".")?;
        Ok(Self { clock: Clock::new(), folder })
    }

    /// Every record is durable before the next one is appended.
    fn each(&self) -> Result<Case<'_>, Box<dyn Error>> {
        let mut contenders = vec![
            self.journal(|journal, block| {
                block.for_each(|payload| done(&journal.append(payload)));
            })?,
            self.file("write, fdatasync", |mut file, block| {
                block.for_each(|payload| {
                    done(&file.write_all(payload).and_then(|()| file.sync_data()));
                });
            })?,
        ];
        #[cfg(target_os = "linux")]
        contenders.extend(self.sqlite()?);
        let name = format!("append {RECORD} B durably");
        Ok(Case { name, operations: RECORDS, goal_ns: None, contenders })
    }

    /// All records of a block are durable at its end, beside a sync of each.
    fn together(&self) -> Result<Case<'_>, Box<dyn Error>> {
        let contenders = vec![
            self.journal(|journal, block| {
                let mut group = Group::new();
                block.for_each(|payload| group.push(payload));
                done(&journal.append_group(&mut group));
            })?,
            self.file("one write, fdatasync", |mut file, block| {
                let all: Vec<u8> = block.flatten().copied().collect();
                done(&file.write_all(&all).and_then(|()| file.sync_data()));
            })?,
            self.file("write, fdatasync each", |mut file, block| {
                block.for_each(|payload| {
                    done(&file.write_all(payload).and_then(|()| file.sync_data()));
                });
            })?,
        ];
        let name = format!("append {RECORDS} records of {RECORD} B together");
        Ok(Case { name, operations: RECORDS, goal_ns: None, contenders })
    }

    /// Returns a contender whose blocks call `append` with their payloads, and then `check` with the number of all records.
    fn contender<'a, L: 'a>(
        &'a self,
        name: &str,
        log: L,
        append: impl Fn(&L, &mut Block<'_>) + 'a,
        check: impl Fn(&L, u64) + 'a,
    ) -> Contender<'a> {
        let (payloads, mut next) = (Payloads::new(RECORD), 0);
        let block_ns = move || {
            let numbers: Range<usize> = next..next + RECORDS;
            next = numbers.end;
            let mut block = numbers.map(|number| payloads.of(number));
            let ns = self.clock.time(|| append(&log, &mut block));
            check(&log, next as u64);
            per_record(ns)
        };
        Contender { name: name.to_owned(), goal: None, block_ns: Box::new(block_ns) }
    }

    fn journal<'a>(
        &'a self,
        append: impl Fn(&Journal<DaxFile>, &mut Block<'_>) + 'a,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let file = Options::new()
            .allow_page_granularity()
            .create_new(folder.path().join("journal"), LOG)?;
        let (journal, _) = Journal::create_new(file).map_err(|failed| failed.error)?;
        let checked = Cell::new(journal.end());
        let append = move |(journal, _): &(Journal<DaxFile>, TempDir), block: &mut Block<'_>| {
            append(journal, block);
        };
        let check = move |(journal, _): &(Journal<DaxFile>, TempDir), _| {
            let from = checked.replace(journal.end());
            let read = journal.records_from(from).and_then(|mut records| {
                let (mut payload, mut count) = (Vec::new(), 0);
                while records.read_next(&mut payload)?.is_some() {
                    count += 1;
                }
                Ok(count)
            });
            assert!(matches!(read, Ok(RECORDS)), "{read:?}");
        };
        Ok(self.contender("cachemaint", (journal, folder), append, check))
    }

    fn file<'a>(
        &'a self,
        name: &str,
        append: impl Fn(&File, &mut Block<'_>) + 'a,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let file = tempfile::tempfile_in(self.folder.path())?;
        let check = |file: &File, records: u64| {
            let len = file.metadata().map(|metadata| metadata.len());
            assert!(matches!(len, Ok(len) if len == records * RECORD as u64), "{len:?}");
        };
        Ok(self.contender(name, file, append, check))
    }

    #[cfg(target_os = "linux")]
    fn sqlite(&self) -> Result<Option<Contender<'_>>, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let Some(database) = Sqlite::if_installed(&folder.path().join("database"))? else {
            return Ok(None);
        };
        let append = |(database, _): &(Sqlite, TempDir), block: &mut Block<'_>| {
            block.for_each(|payload| database.insert(payload));
        };
        let check = |(database, _): &(Sqlite, TempDir), records: u64| {
            assert_eq!(u64::try_from(database.last_row()), Ok(records), "rows");
        };
        Ok(Some(self.contender("SQLite, WAL, FULL", (database, folder), append, check)))
    }
}

/// Ends the benchmark if records were not appended.
fn done<T: Debug, E: Debug>(appended: &Result<T, E>) {
    assert!(appended.is_ok(), "{appended:?}");
}

#[expect(clippy::cast_precision_loss, reason = "a block has fewer records than 2^53")]
fn per_record(block_ns: f64) -> f64 {
    block_ns / RECORDS as f64
}
