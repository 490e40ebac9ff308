//! Appends of 64 bytes to an ordinary file in the working directory, each durable at return: the library's journal by pages,
//! `write` and `fdatasync`, and a row of SQLite, if it is installed.
//!
//! After criterion's figures the ratios are printed, from interleaved blocks, with their 95 % intervals. They depend on
//! the drive and the file system, which are those of the working directory.

use cachemaint::dax::{DaxFile, Options};
use cachemaint_benches::Outcome;
use cachemaint_benches::contenders::{Case, Contender, run_cases};
use cachemaint_benches::measure::blocks::Blocks;
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::payloads::Payloads;
#[cfg(target_os = "linux")]
use cachemaint_benches::sqlite::Sqlite;
use cachemaint_journal::Journal;
use core::cell::Cell;
use core::error::Error;
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
    run_cases(Bench::new(), "append to a file in the working directory", Blocks::at_least(101), {
        |bench: &Bench, then: &mut dyn FnMut(Case<'_>) -> Outcome| then(bench.case()?)
    })
}

struct Bench {
    clock: Clock,
    folder: TempDir,
}

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::Builder::new().prefix("cachemaint-").tempdir_in(".")?;
        Ok(Self { clock: Clock::new(), folder })
    }

    fn case(&self) -> Result<Case<'_>, Box<dyn Error>> {
        let mut contenders = vec![self.journal()?, self.fdatasync()?];
        #[cfg(target_os = "linux")]
        contenders.extend(self.sqlite()?);
        let name = format!("append {RECORD} B durably");
        Ok(Case { name, operations: RECORDS, goal_ns: None, contenders })
    }

    /// Returns a contender whose blocks call `append` with each payload, and then `check` with the number of all records.
    fn contender<'a, L: 'a>(
        &'a self,
        name: &str,
        log: L,
        append: impl Fn(&L, &[u8]) + 'a,
        check: impl Fn(&L, u64) + 'a,
    ) -> Contender<'a> {
        let (payloads, mut next) = (Payloads::new(RECORD), 0);
        let block_ns = move || {
            let numbers: Range<usize> = next..next + RECORDS;
            next = numbers.end;
            let ns =
                self.clock.time(|| numbers.for_each(|number| append(&log, payloads.of(number))));
            check(&log, next as u64);
            per_record(ns)
        };
        Contender { name: name.to_owned(), goal: None, block_ns: Box::new(block_ns) }
    }

    fn journal(&self) -> Result<Contender<'_>, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let file = Options::new()
            .allow_page_granularity()
            .create_new(folder.path().join("journal"), LOG)?;
        let (journal, _) = Journal::create_new(file).map_err(|failed| failed.error)?;
        let checked = Cell::new(journal.end());
        let append = |(journal, _): &(Journal<DaxFile>, TempDir), payload: &[u8]| {
            let appended = journal.append(payload);
            assert!(appended.is_ok(), "{appended:?}");
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

    fn fdatasync(&self) -> Result<Contender<'_>, Box<dyn Error>> {
        let file = tempfile::tempfile_in(self.folder.path())?;
        let append = |mut file: &File, payload: &[u8]| {
            let appended = file.write_all(payload).and_then(|()| file.sync_data());
            assert!(appended.is_ok(), "{appended:?}");
        };
        let check = |file: &File, records: u64| {
            let len = file.metadata().map(|metadata| metadata.len());
            assert!(matches!(len, Ok(len) if len == records * RECORD as u64), "{len:?}");
        };
        Ok(self.contender("write, fdatasync", file, append, check))
    }

    #[cfg(target_os = "linux")]
    fn sqlite(&self) -> Result<Option<Contender<'_>>, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let Some(database) = Sqlite::if_installed(&folder.path().join("database"))? else {
            return Ok(None);
        };
        let append = |(database, _): &(Sqlite, TempDir), payload: &[u8]| database.insert(payload);
        let check = |(database, _): &(Sqlite, TempDir), records: u64| {
            assert_eq!(u64::try_from(database.last_row()), Ok(records), "rows");
        };
        Ok(Some(self.contender("SQLite, WAL, FULL", (database, folder), append, check)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a block has fewer records than 2^53")]
fn per_record(block_ns: f64) -> f64 {
    block_ns / RECORDS as f64
}
