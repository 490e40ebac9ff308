//! Group commit on media that fail, that panic, and that crash.

use crate::life::{LOG, options, payload, records};
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint_journal::{GroupCommit, Reader};
use cachemaint_sim::{Effort, Exploration, Model, SimMedium, Simulation, Violation};
use cachemaint_test_support::counting::Broken;
use core::ops::Range;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::Ordering::{self, Relaxed};
use core::sync::atomic::{AtomicBool, AtomicU64};
use std::panic::{catch_unwind, resume_unwind};
use std::thread;

/// Eight segments of eight lines: room for all records of these tests.
const BYTES: u64 = LOG + 8 * 512;

/// The payload of a faulty medium's panic.
pub(crate) const PLANTED: &str = "a planted panic";

/// What a medium does at one of its calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// It fails, and stays failed: stores no longer reach it.
    Fails,
    /// It panics once.
    Panics,
}

pub(crate) struct Faulty<'m> {
    medium: &'m SimMedium,
    fault: Fault,
    /// The number of calls until the fault.
    left: AtomicU64,
    has_failed: AtomicBool,
}

impl<'m> Faulty<'m> {
    /// Returns a medium whose fault is yet to be [set](Self::fault_after).
    pub(crate) fn new(medium: &'m SimMedium, fault: Fault) -> Self {
        let (left, has_failed) = (AtomicU64::new(u64::MAX / 2), AtomicBool::new(false));
        Self { medium, fault, left, has_failed }
    }

    /// Has the fault occur after this number of calls.
    pub(crate) fn fault_after(&self, calls: u64) {
        self.left.store(calls, Relaxed);
    }

    fn call(&self) {
        if self.left.fetch_sub(1, Relaxed) != 0 {
            return;
        }
        match self.fault {
            Fault::Fails => self.has_failed.store(true, Relaxed),
            Fault::Panics => resume_unwind(Box::new(PLANTED)),
        }
    }

    /// Returns true once the fault has occurred.
    pub(crate) fn is_over(&self) -> bool {
        self.left.load(Relaxed) > u64::MAX / 2
    }
}

impl Readable for Faulty<'_> {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Broken> {
        let word = self.load(at, order);
        self.check().and(Ok(word))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        self.call();
        self.medium.read(at, into).unwrap();
        self.check()
    }

    fn check(&self) -> Result<(), Broken> {
        if self.has_failed.load(Relaxed) { Err(Broken) } else { Ok(()) }
    }
}

impl Medium for Faulty<'_> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.call();
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.call();
        if self.check().is_ok() {
            self.medium.store(at, word, order);
        }
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.call();
        if self.check().is_ok() {
            self.medium.write(at, from);
        }
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Broken> {
        self.call();
        self.check()?;
        self.medium.issue_writeback(range).unwrap();
        Ok(())
    }

    fn fence(&self) -> Result<(), Broken> {
        self.call();
        // Other threads join the next group.
        thread::yield_now();
        self.medium.fence().unwrap();
        self.check()
    }

    fn order_observed(&self) {
        self.call();
        self.medium.order_observed();
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Broken> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

/// Threads append three records each while the medium has this fault at each of its calls in turn. No thread waits forever,
/// what is acknowledged is there, and nothing is there twice.
fn assert_once(fault: Fault, threads: u64) {
    for calls in 0.. {
        let medium = Simulation::new(Model::CACHES_KEPT, BYTES).medium();
        let faulty = Faulty::new(&medium, fault);
        let (journal, _) = options().segment(512).create_new(&faulty).unwrap();
        let commit = GroupCommit::new(journal);
        faulty.fault_after(calls);
        let append = |number| {
            let append = || commit.append(&payload(number)).is_ok();
            (number, catch_unwind(AssertUnwindSafe(append)).unwrap_or(false))
        };
        let appended: Vec<_> = thread::scope(|scope| {
            let of = |thread| move || [0, 1, 2].map(|count| append(3 * thread + count));
            let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(of(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let is_over = faulty.is_over();
        // The close may have the fault.
        let _closed = catch_unwind(AssertUnwindSafe(|| drop(commit)));

        let reader = Reader::open(&medium).unwrap();
        let found: Vec<_> = reader.records().unwrap().map(|found| found.unwrap().payload).collect();
        for (number, is_acknowledged) in appended {
            let times = found.iter().filter(|found| **found == payload(number)).count();
            let is_right = times == 1 || times == 0 && !is_acknowledged;
            assert!(is_right, "{fault:?} at call {calls}: record {number} is there {times} times");
        }
        if !is_over {
            break;
        }
    }
}

#[test]
fn a_medium_that_fails_at_any_call_loses_and_repeats_nothing() {
    assert_once(Fault::Fails, 1);
    assert_once(Fault::Fails, 4);
}

#[test]
fn a_medium_that_panics_at_any_call_loses_and_repeats_nothing() {
    assert_once(Fault::Panics, 1);
    assert_once(Fault::Panics, 4);
}

/// Two threads append. The second record of one may be in a group with that of the other. Each note is an acknowledged record.
fn by_threads(model: Model) -> Exploration {
    let options = || options().segment(256);
    let simulation = Simulation::new(model, LOG + 4 * 256)
        .crashes_in_recovery(0)
        .effort(Effort::Deviations(1))
        .prepared(|medium| drop(options().create_new(medium).unwrap()));
    simulation.explore(
        |medium, notes| {
            let (journal, _) = options().open(medium).unwrap();
            let commit = GroupCommit::new(journal);
            let append = |number| {
                commit.append(&payload(number)).unwrap();
                notes.add(number);
            };
            medium.run_threads(&[&|| append(0), &|| [1, 2].into_iter().for_each(append)]);
        },
        |medium, acknowledged: &[u64]| {
            let (journal, _) = options().open(medium)?;
            let mut found: Vec<_> =
                records(&journal)?.into_iter().map(|record| record.payload).collect();
            let is_there = |number: &u64| found.contains(&payload(*number));
            let are_there = acknowledged.iter().all(is_there);
            let are_known = found.iter().all(|found| [0, 1, 2].map(payload).contains(found));
            let count = found.len();
            found.sort();
            found.dedup();
            let is_right = are_there && are_known && found.len() == count;
            Violation::unless(is_right, || format!("{found:?}, acknowledged {acknowledged:?}"))
        },
    )
}

#[test]
fn acknowledged_records_of_each_thread_of_a_group_survive() {
    for model in [Model::X86, Model::NEUTRAL, Model::PAGES] {
        by_threads(model).assert_safe();
    }
}
