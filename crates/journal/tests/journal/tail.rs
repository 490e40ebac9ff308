//! Iterations that are kept and continued while other threads append and trim.

use crate::claims::reason;
use crate::life::{BYTES, LOG, options};
use cachemaint::medium::Backing;
use cachemaint::medium::{Medium, Memory, Readable};
use cachemaint_journal::{ErrorKind, Journal, Position, Reader, Records};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_test_support::counting::Counting;
use cachemaint_test_support::erased::erased;
use cachemaint_test_support::refused::host_or_refused;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

fn medium() -> SimMedium {
    Simulation::new(Model::CACHES_KEPT, BYTES).medium()
}

/// Returns the next payload, or `None` at the end.
fn next<M: Readable>(records: &mut Records<'_, M>) -> Option<Vec<u8>>
where
    M::Error: core::fmt::Debug + core::fmt::Display,
{
    let mut payload = Vec::new();
    records.read_next(&mut payload).unwrap().map(|_| payload)
}

#[test]
fn kept_records_go_on_with_each_record_when_it_is_acknowledged() {
    let (journal, _) = options().create_new(medium()).unwrap();
    let mut records = journal.records().unwrap();
    assert_eq!(next(&mut records), None);
    assert_eq!(records.reached(), journal.end());
    journal.append(b"first").unwrap();
    assert_eq!(next(&mut records).unwrap(), b"first");
    assert_eq!(next(&mut records), None);

    journal.append(b"by iteration").unwrap();
    assert_eq!(records.next().unwrap().unwrap().payload, b"by iteration");
    assert!(records.next().is_none());
}

/// The read bytes: the header of 16 bytes, the word that repeats the position, and three words of payload.
#[test]
fn a_kept_records_looks_at_each_record_once_and_at_nothing_else() {
    let counting = Counting::new(medium());
    let (journal, _) = options().create_new(erased(&counting)).unwrap();
    let mut records = journal.records().unwrap();
    assert_eq!(next(&mut records), None);
    // After the mark.
    journal.append(b"").unwrap();
    next(&mut records).unwrap();
    counting.looked_at.store(0, Relaxed);
    assert_eq!(next(&mut records), None);
    assert_eq!(counting.looked_at.swap(0, Relaxed), 0);
    journal.append(&[7; 20]).unwrap();
    assert_eq!(next(&mut records).unwrap(), [7; 20]);
    assert_eq!(counting.looked_at.load(Relaxed), 16 + 8 + 24);
}

/// Each record takes one of the five segments.
#[test]
fn kept_records_that_fall_a_lap_behind_are_refused_and_can_begin_again_at_the_head() {
    let (journal, _) = options().create_new(medium()).unwrap();
    let first = journal.append(&[0; 48]).unwrap();
    let mut late = journal.records().unwrap();
    let mut trimmed = journal.records().unwrap();
    for number in 1..=4 {
        journal.trim(journal.end()).unwrap();
        journal.append(&[number; 48]).unwrap();
    }
    // The record is trimmed, but its space is not reused yet.
    assert_eq!(next(&mut trimmed).unwrap(), [0; 48]);
    journal.append(&[5; 48]).unwrap();
    let refused = late.read_next(&mut Vec::new());
    let Some(ErrorKind::NotABoundary { position, head, .. }) = reason(&refused) else {
        panic!("{refused:?}")
    };
    assert!(*position <= first && *head == journal.head());
    let mut again = journal.records_from(*head).unwrap();
    assert_eq!(next(&mut again).unwrap(), [4; 48]);
    assert_eq!(next(&mut trimmed).unwrap(), [1; 48]);
}

/// No later record shows to an opening that this end is not torn.
#[test]
fn damage_to_the_last_acknowledged_record_is_an_error_of_kept_records() {
    let medium = medium();
    let (journal, _) = options().create_new(&medium).unwrap();
    let mut records = journal.records().unwrap();
    let position = journal.append(b"damaged!").unwrap();
    let at = LOG + position.0 + 16;
    medium.store(at, !medium.load(at, Relaxed), Relaxed);
    let read = records.read_next(&mut Vec::new());
    let Some(ErrorKind::Damaged(damage)) = reason(&read) else { panic!("{read:?}") };
    assert_eq!((damage.at, damage.offset), (position, LOG + position.0));
    assert_eq!(damage.evidence, journal.end());
}

/// A reader in another process, which has been at the end before.
#[test]
fn damage_to_the_last_acknowledged_record_is_an_error_of_a_reader_beside_the_writer() {
    let medium = medium();
    let (journal, _) = options().create_new(&medium).unwrap();
    let reader = Reader::open(&medium).unwrap();
    let mut records = reader.records().unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut records), None);
    }
    let position = journal.append(b"damaged!").unwrap();
    let at = LOG + position.0 + 16;
    medium.store(at, !medium.load(at, Relaxed), Relaxed);
    let read = records.read_next(&mut Vec::new());
    let Some(ErrorKind::Damaged(damage)) = reason(&read) else { panic!("{read:?}") };
    assert_eq!((damage.at, damage.evidence), (position, journal.end()));
}

/// Returns a producer's record of 24 bytes: the producer and the number.
fn record(producer: u64, number: u64) -> [u8; 24] {
    let mut bytes = [producer as u8; 24];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Cancels all waits when a thread ends or panics, so that a failure does not hang.
struct Cancel<'j, 'm>(&'j Journal<Memory<'m>>);

impl Drop for Cancel<'_, '_> {
    fn drop(&mut self) {
        self.0.cancel_waits();
    }
}

/// Two producers fill a journal of five segments some hundred times. A consumer reads and trims everything. A third
/// thread only reads: it is overtaken now and then, but never reads a record twice and never finds damage.
#[test]
fn threads_that_append_trim_and_read_lose_no_record_and_read_none_twice() {
    const EACH: u64 = 3000;
    let Some(cache) = host_or_refused() else { return };
    let words: Vec<AtomicU64> = (0..BYTES / 8).map(|_| AtomicU64::new(0)).collect();
    let (journal, _) = options().create_new(Memory::new(&words, cache, Backing::Ram)).unwrap();
    std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let _cancel = Cancel(&journal);
            consumed(&journal)
        });
        let reader = scope.spawn(|| {
            let _cancel = Cancel(&journal);
            read_beside(&journal);
        });
        let produced = Cancel(&journal);
        std::thread::scope(|producers| {
            for producer in 0..2 {
                let journal = &journal;
                producers.spawn(move || {
                    for number in 0..EACH {
                        journal.append_within(&record(producer, number), Duration::MAX).unwrap();
                    }
                });
            }
        });
        drop(produced);
        assert_eq!(consumer.join().unwrap(), [EACH; 2]);
        reader.join().unwrap();
    });
    assert_eq!(journal.head(), journal.end());
}

/// Reads all records and trims them until waits are cancelled. Returns the number of each producer's records.
fn consumed(journal: &Journal<Memory<'_>>) -> [u64; 2] {
    let mut counts = [0; 2];
    let (mut records, mut payload) = (journal.records().unwrap(), Vec::new());
    loop {
        while records.read_next(&mut payload).unwrap().is_some() {
            let count = &mut counts[usize::from(payload[8])];
            assert_eq!(payload, record(payload[8].into(), *count));
            *count += 1;
        }
        let reached = records.reached();
        journal.trim(reached).unwrap();
        if journal.wait_for_records(reached, Duration::MAX).unwrap() <= reached {
            return counts;
        }
    }
}

/// Reads without trimming until waits are cancelled.
fn read_beside(journal: &Journal<Memory<'_>>) {
    let (mut records, mut payload) = (journal.records().unwrap(), Vec::new());
    let (mut before, mut at_least) = (Position::default(), [0; 2]);
    loop {
        let position = match records.read_next(&mut payload) {
            Ok(Some(position)) => position,
            Ok(None) => {
                let reached = records.reached();
                if journal.wait_for_records(reached, Duration::MAX).unwrap() <= reached {
                    return;
                }
                continue;
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::NotABoundary { .. }), "{error}");
                records = journal.records().unwrap();
                continue;
            }
        };
        let least = &mut at_least[usize::from(payload[8])];
        let number = u64::from_le_bytes(payload[..8].try_into().unwrap());
        assert!(position > before && number >= *least, "{number} at {position} after {before}");
        (before, *least) = (position, number + 1);
    }
}

#[test]
fn cancelled_waits_end_at_once_and_nothing_else_changes() {
    let (journal, _) = options().create_new(medium()).unwrap();
    std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let end = journal.end();
            journal.wait_for_records(end, Duration::MAX).unwrap() == end
        });
        journal.cancel_waits();
        assert!(consumer.join().unwrap());
    });
    let end = journal.end();
    while journal.append_within(&[7; 48], Duration::MAX).is_ok() {}
    // Earlier records can still be read, also after a cancellation.
    assert_eq!(journal.wait_for_records(end, Duration::MAX).unwrap(), journal.end());
    let count = journal.records().unwrap().count();
    journal.trim(journal.end()).unwrap();
    assert!(count > 0);
    journal.append_within(&[7; 48], Duration::MAX).unwrap();
}

/// An exploration, which takes minutes under an emulator.
mod crashes {
    use super::next;
    use crate::life::{WIDE, options, payload, records};
    use cachemaint_sim::{Effort, Model, Simulation, Violation};

    /// Two threads append, and one of them reads.
    #[test]
    fn a_record_that_was_read_is_found_by_every_recovery() {
        let options = || options().segment(256);
        for model in [Model::X86, Model::NEUTRAL] {
            let simulation =
                Simulation::new(model, WIDE).crashes_in_recovery(0).effort(Effort::Deviations(1));
            let simulation =
                simulation.prepared(|medium| drop(options().create_new(medium).unwrap()));
            let exploration = simulation.explore(
                |medium, notes| {
                    let (journal, _) = options().open(medium).unwrap();
                    let append = |number| {
                        journal.append(&payload(number)).unwrap();
                    };
                    let append_and_read = || {
                        append(5);
                        let mut records = journal.records().unwrap();
                        while let Some(read) = next(&mut records) {
                            notes.add(read);
                        }
                    };
                    medium.run_threads(&[&|| append(4), &append_and_read]);
                },
                |medium, read: &[Vec<u8>]| {
                    let (journal, _) = options().open(medium)?;
                    let found: Vec<_> =
                        records(&journal)?.into_iter().map(|record| record.payload).collect();
                    Violation::unless(found.starts_with(read), || format!("{found:?} of {read:?}"))
                },
            );
            exploration.assert_safe();
        }
    }
}
