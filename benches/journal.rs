//! Appends to a log, each durable on return: the library's journal, bare loops with self-verifying records, and
//! libpmemlog, if it is installed. The cases are one producer with records of 16 B to 4 KiB, groups of records that
//! share a fence, and two producers, whose appends are acknowledged in order.
//!
//! Every log is 64 MiB long and starts over when it is full, outside the measured time. The lines that it writes to
//! next are in no near cache, as in a log that is longer than the caches. After criterion's figures the ratios are
//! printed, from interleaved blocks, with their 95 % intervals.

use cachemaint::medium::Backing;
use cachemaint::medium::Memory;
use cachemaint_benches::Outcome;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use cachemaint_benches::bare::append::{self, AppendEach, AppendShared, Log, Packing, SharedLog};
use cachemaint_benches::contenders::{Case, Contender, run_cases};
#[cfg(target_os = "linux")]
use cachemaint_benches::libpmemlog::Libpmemlog;
use cachemaint_benches::measure::blocks::Blocks;
use cachemaint_benches::measure::clock::Clock;
#[cfg(target_arch = "x86_64")]
use cachemaint_benches::measure::copy::streaming_is_durable;
use cachemaint_benches::measure::lines::{PAGE, Region};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::payloads::Payloads;
use cachemaint_benches::threads::{Apart, Cores};
use cachemaint_journal::{Group, Journal, Position};
use core::error::Error;
#[cfg(target_os = "linux")]
use core::hint::black_box;
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::process::ExitCode;
#[cfg(target_os = "linux")]
use twox_hash::XxHash3_64;

/// The number of records that one block appends, over all producers.
const RECORDS: usize = 1024;
const SIZES: [usize; 4] = [16, 64, 256, 4 << 10];
/// The size of records that are appended in groups, or by several producers.
const SMALL: usize = 64;
const GROUPS: [usize; 2] = [16, 64];
const PRODUCERS: usize = 2;
/// Bytes of a log.
const LOG: usize = 64 << 20;
/// The length in words of the beginning of a medium that identifies a journal: four pages.
const ROOTS: usize = 2048;
/// The goals for the ratio to the bare loop.
const GOAL: f64 = 1.1;
const GOAL_OF_A_GROUP: f64 = 1.2;
/// From this size, the goal is the other library's time with the tag of each record, which it lacks: 118 of 174 ns for
/// 4 KiB on an Intel Xeon (family 6, model 207). How a record is stored matters more than the cost of a fence, and the
/// bare loops differ.
const LARGE: usize = 4 << 10;

fn main() -> ExitCode {
    let what = ("append a record", "DRAM");
    run_cases(Bench::new(), what, Blocks::at_least(201), |bench, then| bench.for_each_case(then))
}

/// The parts that are created once, before a thread is pinned.
struct Bench {
    clock: Clock,
    cores: Cores,
    #[cfg(target_os = "linux")]
    libpmemlog: Option<Libpmemlog>,
    /// The memory of the journal.
    memory: Region,
    /// A region for each bare loop; otherwise the lines written by another loop would be in the caches.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    memories: Vec<Region>,
}

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            clock: Clock::new(),
            cores: Cores::available()?,
            #[cfg(target_os = "linux")]
            libpmemlog: Libpmemlog::if_installed(LOG)?,
            memory: Region::new(LOG / PAGE),
            #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
            memories: (0..4).map(|_| Region::new(LOG / PAGE)).collect(),
        })
    }

    fn for_each_case(&self, mut then: impl FnMut(Case<'_>) -> Outcome) -> Outcome {
        for bytes in SIZES {
            then(self.appends(bytes)?)?;
        }
        for group in GROUPS {
            then(self.groups(group)?)?;
        }
        if self.cores.are_enough_for(PRODUCERS)? {
            then(self.producers()?)?;
        }
        Ok(())
    }

    /// Returns the case with one producer and a fence for each record.
    fn appends(&self, bytes: usize) -> Result<Case<'_>, Box<dyn Error>> {
        let mut contenders = vec![self.journal(bytes, |journal, payloads, numbers| {
            for number in numbers {
                let appended = journal.append(payloads.of(number));
                assert!(appended.is_ok(), "{appended:?}");
            }
        })?];
        contenders.extend(self.bare(bytes, 1, (bytes < LARGE).then_some(GOAL))?);
        #[cfg(target_os = "linux")]
        contenders.extend(self.libpmemlog(bytes, false));
        #[cfg(target_os = "linux")]
        contenders.extend(if bytes < LARGE { None } else { self.libpmemlog(bytes, true) });
        Ok(case(format!("append {bytes} B"), contenders))
    }

    /// Returns the case with one producer and a fence for each group.
    fn groups(&self, size: usize) -> Result<Case<'_>, Box<dyn Error>> {
        let mut group = Group::new();
        let mut contenders = vec![self.journal(SMALL, move |journal, payloads, numbers| {
            for first in numbers.step_by(size) {
                (first..first + size).for_each(|number| group.push(payloads.of(number)));
                let appended = journal.append_group(&mut group);
                assert!(appended.is_ok(), "{appended:?}");
            }
        })?];
        contenders.extend(self.bare(SMALL, size, Some(GOAL_OF_A_GROUP))?);
        Ok(case(format!("append {size} records of {SMALL} B together"), contenders))
    }

    /// Returns the case with several producers: nanoseconds for an append over all of them.
    fn producers(&self) -> Result<Case<'_>, Box<dyn Error>> {
        let mut contenders = vec![self.journal_producers()?];
        #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
        contenders.extend(
            append::persisting(to_persistence()?).map(|loops| self.bare_producers(loops.shared)),
        );
        #[cfg(target_os = "linux")]
        contenders.extend(self.libpmemlog_producers());
        Ok(case(format!("append {SMALL} B, {PRODUCERS} producers"), contenders))
    }

    fn journal<'a>(
        &'a self,
        bytes: usize,
        mut append: impl FnMut(&Journal<Memory<'a>>, &Payloads, Range<usize>) + 'a,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let (journal, payloads, mut next) = (self.empty_journal()?, Payloads::new(bytes), 0);
        let block_ns = move || {
            let numbers = next..next + RECORDS;
            make_room(&journal, bytes);
            let from = journal.end();
            let ns = self.clock.time(|| append(&journal, &payloads, numbers.clone()));
            next = numbers.end;
            let is_right = |payload: &[u8], number| payload == payloads.of(number);
            let checked = check(&journal, from, numbers, is_right);
            assert!(checked.is_ok(), "{checked:?}");
            a_record(ns)
        };
        Ok(Contender { name: "cachemaint".to_owned(), goal: None, block_ns: Box::new(block_ns) })
    }

    fn journal_producers(&self) -> Result<Contender<'_>, Box<dyn Error>> {
        let (journal, payloads) = (self.empty_journal()?, Payloads::new(SMALL));
        let block_ns = move || {
            make_room(&journal, SMALL);
            let from = journal.end();
            let append = |(): &mut ()| {
                for number in 0..RECORDS / PRODUCERS {
                    let appended = journal.append(payloads.of(number));
                    assert!(appended.is_ok(), "{appended:?}");
                }
            };
            let mut producers = [const { Apart(()) }; PRODUCERS];
            let times = self.cores.time_at_once(self.clock, &mut producers, |()| (), append);
            let checked = check(&journal, from, 0..RECORDS, |payload, _| payloads.contain(payload));
            assert!(checked.is_ok(), "{checked:?}");
            a_record(longest(&times))
        };
        Ok(Contender { name: "cachemaint".to_owned(), goal: None, block_ns: Box::new(block_ns) })
    }

    /// Creates a journal in its memory, which may have any contents.
    fn empty_journal(&self) -> Result<Journal<Memory<'_>>, Box<dyn Error>> {
        let words = self.memory.words();
        words.iter().take(ROOTS).for_each(|word| word.store(0, Ordering::Relaxed));
        let memory = Memory::new(words, to_persistence()?, Backing::Ram);
        Ok(Journal::create_new(memory).map_err(|failed| failed.error)?.0)
    }
}

/// Trims the journal if it has no space for a block of records of `bytes` bytes, with their headers and the losses at
/// the ends of segments.
fn make_room(journal: &Journal<Memory<'_>>, bytes: usize) {
    let needed = 2 * RECORDS * (bytes + 64);
    if journal.free() < needed as u64 {
        let trimmed = journal.trim(journal.end());
        assert!(trimmed.is_ok(), "{trimmed:?}");
    }
}

/// Checks that the journal contains exactly the records with these numbers from a position on.
///
/// # Panics
/// If it is not so.
fn check(
    journal: &Journal<Memory<'_>>,
    from: Position,
    numbers: Range<usize>,
    is_right: impl Fn(&[u8], usize) -> bool,
) -> Outcome {
    let (mut records, mut payload) = (journal.records_from(from)?, Vec::new());
    for number in numbers {
        let position = records.read_next(&mut payload)?;
        assert!(position.is_some() && is_right(&payload, number), "record {number}");
    }
    assert_eq!(records.read_next(&mut payload)?, None, "after the last record");
    Ok(())
}

const fn case(name: String, contenders: Vec<Contender<'_>>) -> Case<'_> {
    Case { name, operations: RECORDS, contenders }
}

#[expect(clippy::cast_precision_loss, reason = "a block has fewer records than 2^53")]
fn a_record(block_ns: f64) -> f64 {
    block_ns / RECORDS as f64
}

/// Returns the longest time of threads that worked in parallel.
fn longest(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
impl Bench {
    /// Returns the bare loops. The goal is that of the loop closest to the format: packed, ordinary stores.
    fn bare(
        &self,
        bytes: usize,
        group: usize,
        goal: Option<f64>,
    ) -> Result<Vec<Contender<'_>>, Box<dyn Error>> {
        let mut ways: Vec<(&str, Option<f64>, Packing, AppendEach)> = Vec::new();
        if let Some(loops) = append::persisting(to_persistence()?) {
            ways.push(("bare, packed", goal, Packing::Packed, loops.each));
            ways.push(("bare, lines", None, Packing::Lines, loops.each));
        }
        #[cfg(target_arch = "x86_64")]
        if streaming_is_durable() {
            ways.push(("bare, packed, streaming", None, Packing::Packed, append::stream_each));
            ways.push(("bare, lines, streaming", None, Packing::Lines, append::stream_each));
        }
        let each = ways.into_iter().zip(&self.memories);
        let contenders = each.map(|((name, goal, packing, append), memory)| {
            let mut log = Log::new(memory.words(), packing);
            let (payloads, mut next) = (Payloads::new(bytes), 0);
            let block_ns = move || {
                let numbers = next..next + RECORDS;
                log.make_room(RECORDS, bytes);
                let ns = self.clock.time(|| append(&mut log, &payloads, numbers.clone(), group));
                next = numbers.end;
                log.check(&payloads, numbers);
                a_record(ns)
            };
            Contender { name: name.to_owned(), goal, block_ns: Box::new(block_ns) }
        });
        Ok(contenders.collect())
    }

    fn bare_producers(&self, append: AppendShared) -> Contender<'_> {
        let words = self.memories.first().map(Region::words).unwrap_or_default();
        let (log, payloads) = (SharedLog::new(words, SMALL), Payloads::new(SMALL));
        let block_ns = move || {
            let append = |(): &mut ()| append(&log, &payloads, 0..RECORDS / PRODUCERS);
            let mut producers = [const { Apart(()) }; PRODUCERS];
            let times = self.cores.time_at_once(self.clock, &mut producers, |()| (), append);
            log.check(&payloads, RECORDS);
            a_record(longest(&times))
        };
        Contender {
            name: "bare, packed".to_owned(),
            goal: Some(GOAL),
            block_ns: Box::new(block_ns),
        }
    }
}

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
impl Bench {
    /// There are no loops for this architecture.
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "they can fail where there are some"
    )]
    fn bare(
        &self,
        _: usize,
        _: usize,
        _: Option<f64>,
    ) -> Result<Vec<Contender<'_>>, Box<dyn Error>> {
        Ok(Vec::new())
    }
}

#[cfg(target_os = "linux")]
impl Bench {
    fn libpmemlog(&self, bytes: usize, has_tag: bool) -> Option<Contender<'_>> {
        let log = self.libpmemlog.as_ref()?;
        let (payloads, mut next) = (Payloads::new(bytes), 0);
        let block_ns = move || {
            let numbers = next..next + RECORDS;
            log.make_room(RECORDS * bytes);
            let append = || {
                for number in numbers.clone() {
                    log.append(payloads.of(number));
                    if has_tag {
                        let seed = number as u64;
                        black_box(XxHash3_64::oneshot_with_seed(seed, payloads.of(number)));
                    }
                }
            };
            let ns = self.clock.time(append);
            next = numbers.end;
            log.read(|all| {
                let (_, appended) = all.split_at(all.len() - RECORDS * bytes);
                for (found, number) in appended.chunks_exact(bytes).zip(numbers.clone()) {
                    assert_eq!(found, payloads.of(number), "record {number} of libpmemlog");
                }
            });
            a_record(ns)
        };
        let (name, goal) =
            if has_tag { ("libpmemlog, and a tag", Some(1.0)) } else { ("libpmemlog", None) };
        Some(Contender { name: name.to_owned(), goal, block_ns: Box::new(block_ns) })
    }

    fn libpmemlog_producers(&self) -> Option<Contender<'_>> {
        let log = self.libpmemlog.as_ref()?;
        let payloads = Payloads::new(SMALL);
        let block_ns = move || {
            log.make_room(RECORDS * SMALL);
            let append = |(): &mut ()| {
                (0..RECORDS / PRODUCERS).for_each(|number| log.append(payloads.of(number)));
            };
            let mut producers = [const { Apart(()) }; PRODUCERS];
            let times = self.cores.time_at_once(self.clock, &mut producers, |()| (), append);
            log.read(|all| {
                let (_, appended) = all.split_at(all.len() - RECORDS * SMALL);
                let wrong = appended.chunks_exact(SMALL).find(|found| !payloads.contain(found));
                assert_eq!(wrong, None, "a record of libpmemlog");
            });
            a_record(longest(&times))
        };
        Some(Contender { name: "libpmemlog".to_owned(), goal: None, block_ns: Box::new(block_ns) })
    }
}
