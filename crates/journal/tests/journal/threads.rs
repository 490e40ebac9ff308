//! Threads that append at the same time.

use cachemaint::Cache;
use cachemaint::medium::{Backing, Memory, Readable};
use cachemaint_journal::{ErrorKind, Options, Position, Reader};
use cachemaint_test_support::cases::cases;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
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
const JOURNALS: u64 = if cfg!(cachemaint_pausing) { 100 } else { 5 };

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
