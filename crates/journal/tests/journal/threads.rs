//! Threads that are held anywhere: at a full window, at the confirmation, while they look for another writer.

use crate::claims::LOG;
use cachemaint::Cache;
use cachemaint::medium::{Backing, Medium, Memory, Readable};
use cachemaint_journal::{Error, ErrorKind, FormatError, Options, Position, Reader};
use cachemaint_test_support::cases::cases;
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::hooked::{Call, Hooked};
use cachemaint_test_support::plain::Plain;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::Mutex;
use std::thread;

/// The largest segment, of which the window is four: then the distance to the watermark takes the most bits.
const SEGMENT: usize = 4 << 20;
/// The smallest number of segments with that window.
const SEGMENTS: usize = 16;
/// The shortest payload of which no segment holds two.
const LONG: usize = SEGMENT / 2;
/// The window holds a record of each but one.
const THREADS: u64 = 5;

/// The number of journals, of which each takes some milliseconds without pauses.
const JOURNALS: u64 = if cfg!(cachemaint_pausing) { 60 } else { 5 };

/// The offset of the confirmation word, which follows the roots.
const CONFIRMATION: u64 = 4 * 4096;

fn payloads<M: Medium>(medium: M) -> Vec<Vec<u8>> {
    let reader = Reader::open(medium).map_err(|failed| failed.error.to_string()).unwrap();
    let records = reader.records().map_err(|error| error.to_string()).unwrap();
    records.map(|record| record.map_err(|error| error.to_string()).unwrap().payload).collect()
}

fn is_another<T>(done: &Result<T, Error<Broken>>) -> bool {
    let kind = done.as_ref().map_err(Error::kind);
    matches!(kind, Err(ErrorKind::Format(FormatError::AnotherWriter)))
}

/// Returns the positions and numbers of all records.
fn found(reader: &Reader<impl Readable>) -> Vec<(Position, u64)> {
    let (mut records, mut payload) = (reader.records().unwrap(), Vec::new());
    let mut found = Vec::new();
    while let Some(position) = records.read_next(&mut payload).unwrap() {
        found.push((position, u64::from_le_bytes(payload[..8].try_into().unwrap())));
    }
    found
}

/// Every record that was acknowledged is read, and nothing else.
#[test]
fn records_of_a_full_window_are_read_as_they_were_acknowledged() {
    let words: Vec<AtomicU64> =
        (0..(20 * 1024 + SEGMENTS * SEGMENT) / 8).map(|_| AtomicU64::new(0)).collect();
    let medium = Memory::new(&words, Cache::host().unwrap(), Backing::Ram);
    for round in 1..=cases(JOURNALS) {
        (0..4).for_each(|slot| words[512 * slot].store(0, Relaxed));
        let options = Options::with_entropy([round, 0]).segment(SEGMENT as u64);
        let journal = options.create_new(&medium).unwrap().0;
        let append = |first: u64| {
            let mut payload = vec![0; LONG];
            let mut positions: Vec<(Position, u64)> = Vec::new();
            for number in (first..).step_by(THREADS as usize) {
                payload[..8].copy_from_slice(&number.to_le_bytes());
                match journal.append(&payload).map_err(ErrorKind::from) {
                    Ok(position) => positions.push((position, number)),
                    Err(ErrorKind::Full { .. }) => break,
                    other => _ = other.unwrap(),
                }
            }
            positions
        };
        let mut acknowledged: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS).map(|number| scope.spawn(move || append(number))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        acknowledged.sort_unstable();
        let reader = Reader::open(&medium).unwrap();
        assert_eq!(found(&reader), acknowledged, "journal {round}");
    }
}

thread_local! {
    /// True in the thread whose stores of the confirmation word are slow.
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
}

/// Whenever one thread has stored the confirmation word, the other one has appended again, if it can.
#[test]
fn an_append_returns_while_others_go_on() {
    let (slow, fast) = (AtomicU64::new(0), AtomicU64::new(0));
    let medium = Hooked::new(Plain::zeros(1 << 20), |call| {
        if call == Call::Store(CONFIRMATION) && IS_SLOW.get() {
            slow.fetch_add(1, SeqCst);
            let before = fast.load(SeqCst);
            let has_appended = || fast.load(SeqCst) > before + 1;
            // The other thread may wait for this one.
            (0..10_000).take_while(|_| !has_appended()).for_each(|_| thread::yield_now());
        } else if call == Call::Store(CONFIRMATION) {
            fast.fetch_add(1, SeqCst);
        }
        Ok(())
    });
    let (journal, _) = Options::with_entropy([1, 2]).create_new(medium).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(SeqCst) && slow.load(SeqCst) < 100 {
                journal.append(b"fast").unwrap();
                journal.trim(journal.end()).unwrap();
            }
        });
        scope.spawn(|| {
            IS_SLOW.set(true);
            // The other thread has begun.
            while fast.load(SeqCst) == 0 {
                thread::yield_now();
            }
            journal.append(b"slow").unwrap();
            is_over.store(true, SeqCst);
        });
    });
    // One store of its own, three rounds, and one for the other thread's record in progress.
    assert!(slow.load(SeqCst) <= 6, "{slow:?} stores of the confirmation");
}

/// One thread of a replaced writer is held while it looks for another writer. A second thread appends meanwhile.
#[test]
fn no_thread_takes_space_in_a_segment_that_another_writer_may_have() {
    let plain = Plain::zeros(LOG as usize + (16 << 10));
    let options = |opening| Options::with_entropy([9, opening]).segment(1024);
    drop(options(0).create_new(plain.clone()).unwrap());
    let (is_armed, is_held) = (AtomicBool::new(false), AtomicBool::new(false));
    let goes_on = AtomicBool::new(false);
    let medium = Hooked::new(plain.clone(), |call| {
        // The look begins in the roots.
        let looks = matches!(call, Call::Read(at) if at < CONFIRMATION);
        if looks && is_armed.swap(false, SeqCst) {
            is_held.store(true, SeqCst);
            while !goes_on.load(SeqCst) {
                thread::yield_now();
            }
        }
        Ok(())
    });
    let (first, _) = options(1).open(medium).unwrap();
    // 64 bytes of the mark, and 14 records of 64 bytes: 64 bytes are left in the segment.
    for number in 0..14_u8 {
        first.append(&[number; 48]).unwrap();
    }
    let (second, _) = options(2).open(plain.clone()).unwrap();
    for number in 100..108_u8 {
        second.append(&[number; 48]).unwrap();
    }
    let left = plain.bytes();
    is_armed.store(true, SeqCst);
    thread::scope(|scope| {
        let held = scope.spawn(|| first.append(&[50; 100]));
        while !is_held.load(SeqCst) {
            thread::yield_now();
        }
        let beside = scope.spawn(|| first.append(&[60; 100]));
        // If it took space behind the other thread's, it would store its record, and then wait for the other one.
        while !beside.is_finished() && plain.bytes() == left {
            thread::yield_now();
        }
        goes_on.store(true, SeqCst);
        let both = [held.join().unwrap(), beside.join().unwrap()];
        assert!(both.iter().all(is_another), "{both:?}");
    });
    assert!(plain.bytes() == left, "it was written to");
    let expected = (0..14).chain(100..108).map(|number: u8| vec![number; 48]);
    assert!(payloads(plain).into_iter().eq(expected));
    drop(second);
}

/// Each writer replaces the one before, and any earlier one may append again, as far as it can.
#[test]
fn whatever_replaced_writers_append_the_records_before_each_opening_stay() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let plain = Plain::zeros(LOG as usize + (64 << 10));
        let options = |opening| Options::with_entropy([seed, opening]).segment(1024);
        let mut writers = vec![options(0).create_new(plain.clone()).unwrap().0];
        let mut acknowledged = Vec::new();
        let mut number = 0_u8;
        for opening in 1..8 {
            for _ in 0..random.u8(0..30) {
                let payload = vec![number; random.usize(0..200)];
                number = number.wrapping_add(1);
                let is_late = random.u8(0..4) == 0;
                let writer = random.usize(..writers.len());
                let last = writers.len() - 1;
                if is_late && writer < last {
                    // It may be refused.
                    let _late = writers[writer].append(&payload);
                } else {
                    writers[last].append(&payload).unwrap();
                    acknowledged.push(payload);
                }
            }
            assert!(payloads(plain.clone()) == acknowledged, "seed {seed}, opening {opening}");
            let (next, opened) = options(opening).open(plain.clone()).unwrap();
            assert_eq!(opened.recovered.records, acknowledged.len() as u64, "seed {seed}");
            writers.push(next);
        }
        let reader = Reader::open(plain.clone()).unwrap();
        let salvaged = reader.salvage().unwrap().map(|item| item.unwrap());
        let salvaged = salvaged.filter_map(|item| match item {
            cachemaint_journal::Salvaged::Record(record) => Some(record.payload),
            cachemaint_journal::Salvaged::Skipped(_) => None,
        });
        assert!(salvaged.eq(acknowledged), "seed {seed}");
    }
}

/// The replaced writer has space in its own segment for all that it appends.
#[test]
fn records_of_a_writer_that_another_one_beside_replaced_stay() {
    for round in 0..200 {
        let plain = Plain::zeros(LOG as usize + (1 << 20));
        let options = |opening| Options::with_entropy([round, opening]).segment(64 << 10);
        let (first, _) = options(0).create_new(plain.clone()).unwrap();
        first.append(b"begins the segment").unwrap();
        let (is_over, newest) = (AtomicBool::new(false), Mutex::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..500_u64 {
                    first.append(&[1; 40]).unwrap();
                    *newest.lock().unwrap() = number + 1;
                    if is_over.load(SeqCst) {
                        return;
                    }
                }
            });
            scope.spawn(|| {
                while *newest.lock().unwrap() < round % 64 {
                    thread::yield_now();
                }
                let before = *newest.lock().unwrap();
                let (second, opened) = options(1).open(plain.clone()).unwrap();
                assert!(opened.recovered.records > before);
                for _ in 0..12 {
                    second.append(&[2; 48]).unwrap();
                }
                is_over.store(true, SeqCst);
                let found = payloads(plain.clone());
                let (ones, twos) = found.split_at(found.len() - 12);
                assert!(ones.len() as u64 == opened.recovered.records);
                assert!(twos.iter().all(|payload| *payload == [2; 48]));
                second.close().unwrap();
            });
        });
    }
}

/// The entropy of a board that has none.
#[test]
fn with_the_same_entropy_no_record_of_an_old_life_returns() {
    let plain = Plain::zeros(LOG as usize + 4096);
    let options = || Options::with_entropy([5, 5]).segment(256);
    let life = |number: u8| {
        let (journal, _) = options().create_new(plain.clone()).unwrap();
        let identity = journal.identity();
        journal.append(&[number; 32]).unwrap();
        drop(journal);
        let (journal, _) = options().open(plain.clone()).unwrap();
        for _ in number..6 {
            journal.append(&[number; 32]).unwrap();
        }
        drop(journal);
        identity
    };
    let first = life(0);
    (0..4).for_each(|slot| plain.write(4096 * slot, &[0; 8]));
    let second = life(1);
    assert_ne!(first, second);
    assert_eq!(payloads(plain), vec![vec![1; 32]; 6]);
}
