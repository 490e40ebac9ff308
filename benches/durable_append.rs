//! Appends of 64 bytes to an ordinary file in the working directory, each durable on return: the library's journal with
//! page granularity, `write` and `fdatasync`, and a row of SQLite, if it is installed. Then groups of 16, compared with a
//! sync of each record. Then threads, each of which waits until its own record is durable.
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
use cachemaint_journal::{Group, GroupCommit, Journal};
use core::cell::Cell;
use core::error::Error;
use core::fmt::Debug;
use core::mem;
use core::ops::Range;
use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Barrier, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use tempfile::TempDir;

/// The number of records that one block appends.
const RECORDS: usize = 16;
/// Bytes of a record.
const RECORD: usize = 64;
/// The numbers of threads, each of which appends the records of a block.
const THREADS: [usize; 4] = [1, 2, 8, 32];
/// Bytes of a journal: more than all blocks append.
const LOG: u64 = 64 << 20;

fn main() -> ExitCode {
    run_cases(Bench::new(), ("append to a file", &here()), Blocks::at_least(101), {
        |bench: &Bench, then: &mut dyn FnMut(Case<'_>) -> Outcome| {
            then(bench.each()?)?;
            then(bench.together()?)?;
            THREADS.into_iter().try_for_each(|threads| then(bench.by_threads(threads)?))
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
        Ok(Case { name, operations: RECORDS, contenders })
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
        Ok(Case { name, operations: RECORDS, contenders })
    }

    /// Threads append one record at a time.
    fn by_threads(&self, threads: usize) -> Result<Case<'_>, Box<dyn Error>> {
        let records = RECORDS * threads;
        let contenders = vec![
            self.shared(
                ("cachemaint", records),
                GroupCommit::new,
                |commit, block| self.time(block, |payload| done(&commit.append(payload))),
                GroupCommit::journal,
            )?,
            self.shared(
                ("one condition variable", records),
                Reference::new,
                |reference, block| self.time(block, |payload| reference.append(payload)),
                |reference| &reference.journal,
            )?,
            self.shared(
                ("a mutex", records),
                |journal| (Mutex::new(()), journal),
                |(mutex, journal), block| {
                    self.time(block, |payload| {
                        let _held = mutex.lock();
                        done(&journal.append(payload));
                    })
                },
                |(_, journal)| journal,
            )?,
            self.stored("write, fdatasync", records, |file, block| {
                self.time(block, |payload| {
                    let mut file = file;
                    done(&file.write_all(payload).and_then(|()| file.sync_data()));
                })
            })?,
        ];
        let s = if threads == 1 { "" } else { "s" };
        let name = format!("append {RECORD} B durably, {threads} thread{s}");
        Ok(Case { name, operations: records, contenders })
    }

    /// Returns the nanoseconds of a block. Each of its threads appends as many records as a block of one thread.
    fn time(&self, block: &mut Block<'_>, append: impl Fn(&[u8]) + Sync) -> f64 {
        let payloads: Vec<&[u8]> = block.collect();
        let line = Barrier::new(payloads.len() / RECORDS + 1);
        let (line, append) = (&line, &append);
        thread::scope(|scope| {
            for part in payloads.chunks(RECORDS) {
                scope.spawn(move || {
                    line.wait();
                    for payload in part {
                        append(payload);
                    }
                    line.wait();
                });
            }
            line.wait();
            self.clock.time(|| {
                line.wait();
            })
        })
    }

    /// Returns a contender whose blocks call `append` with the payloads of this many records, and then `check` with the
    /// number of all records. `append` returns nanoseconds.
    fn contender<'a, L: 'a>(
        (name, records): (&str, usize),
        log: L,
        append: impl Fn(&L, &mut Block<'_>) -> f64 + 'a,
        check: impl Fn(&L, u64) + 'a,
    ) -> Contender<'a> {
        let (payloads, mut next) = (Payloads::new(RECORD), 0);
        let block_ns = move || {
            let numbers: Range<usize> = next..next + records;
            next = numbers.end;
            let mut block = numbers.map(|number| payloads.of(number));
            let ns = append(&log, &mut block);
            check(&log, next as u64);
            per_record(ns, records)
        };
        Contender { name: name.to_owned(), goal: None, block_ns: Box::new(block_ns) }
    }

    fn journal<'a>(
        &'a self,
        append: impl Fn(&Journal<DaxFile>, &mut Block<'_>) + 'a,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let append = move |journal: &Journal<_>, block: &mut Block<'_>| {
            self.clock.time(|| append(journal, block))
        };
        self.shared(("cachemaint", RECORDS), |journal| journal, append, |journal| journal)
    }

    /// Returns a contender that appends to a journal in a type of its own.
    fn shared<'a, L: 'a>(
        &'a self,
        name_and_records: (&str, usize),
        share: impl FnOnce(Journal<DaxFile>) -> L,
        append: impl Fn(&L, &mut Block<'_>) -> f64 + 'a,
        journal: impl Fn(&L) -> &Journal<DaxFile> + 'a,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let file = Options::new()
            .allow_page_granularity()
            .create_new(folder.path().join("journal"), LOG)?;
        let (log, _) = Journal::create_new(file).map_err(|failed| failed.error)?;
        let checked = Cell::new(log.end());
        let append = move |(log, _): &(L, TempDir), block: &mut Block<'_>| append(log, block);
        let check = move |(log, _): &(L, TempDir), _| {
            let from = checked.replace(journal(log).end());
            let read = journal(log).records_from(from).and_then(|mut records| {
                let (mut payload, mut count) = (Vec::new(), 0);
                while records.read_next(&mut payload)?.is_some() {
                    count += 1;
                }
                Ok(count)
            });
            assert!(matches!(read, Ok(count) if count == name_and_records.1), "{read:?}");
        };
        Ok(Self::contender(name_and_records, (share(log), folder), append, check))
    }

    fn file<'a>(
        &'a self,
        name: &str,
        append: impl Fn(&File, &mut Block<'_>) + 'a,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let append =
            move |file: &File, block: &mut Block<'_>| self.clock.time(|| append(file, block));
        self.stored(name, RECORDS, append)
    }

    /// Returns a contender that appends this many records to a file.
    fn stored<'a>(
        &'a self,
        name: &str,
        records: usize,
        append: impl Fn(&File, &mut Block<'_>) -> f64 + 'a,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let file = tempfile::tempfile_in(self.folder.path())?;
        let check = |file: &File, records: u64| {
            let len = file.metadata().map(|metadata| metadata.len());
            assert!(matches!(len, Ok(len) if len == records * RECORD as u64), "{len:?}");
        };
        Ok(Self::contender((name, records), file, append, check))
    }

    #[cfg(target_os = "linux")]
    fn sqlite(&self) -> Result<Option<Contender<'_>>, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let Some(database) = Sqlite::if_installed(&folder.path().join("database"))? else {
            return Ok(None);
        };
        let append = move |(database, _): &(Sqlite, TempDir), block: &mut Block<'_>| {
            self.clock.time(|| block.for_each(|payload| database.insert(payload)))
        };
        let check = |(database, _): &(Sqlite, TempDir), records: u64| {
            assert_eq!(u64::try_from(database.last_row()), Ok(records), "rows");
        };
        Ok(Some(Self::contender(("SQLite, WAL, FULL", RECORDS), (database, folder), append, check)))
    }
}

/// Ends the benchmark if records were not appended.
fn done<T: Debug, E: Debug>(appended: &Result<T, E>) {
    assert!(appended.is_ok(), "{appended:?}");
}

#[expect(clippy::cast_precision_loss, reason = "a block has fewer records than 2^53")]
fn per_record(block_ns: f64, records: usize) -> f64 {
    block_ns / records as f64
}

/// A group commit of thirty lines: all threads wait on one condition variable, and any of them writes the next group.
struct Reference {
    journal: Journal<DaxFile>,
    gathered: Mutex<Gathered>,
    changed: Condvar,
}

#[derive(Default)]
struct Gathered {
    group: Group,
    /// The number of groups that were taken, and of those that are durable.
    taken: u64,
    durable: u64,
    has_leader: bool,
}

impl Reference {
    fn new(journal: Journal<DaxFile>) -> Self {
        Self { journal, gathered: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, payload: &[u8]) {
        let mut gathered = self.lock();
        gathered.group.push(payload);
        let own = gathered.taken;
        while gathered.durable <= own {
            if gathered.has_leader {
                let changed = self.changed.wait(gathered);
                gathered = changed.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            gathered.has_leader = true;
            gathered.taken += 1;
            let taken = gathered.taken;
            let mut group = mem::take(&mut gathered.group);
            drop(gathered);
            done(&self.journal.append_group(&mut group));
            gathered = self.lock();
            (gathered.durable, gathered.has_leader) = (taken, false);
            self.changed.notify_all();
        }
    }
}
