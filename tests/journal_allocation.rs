//! The memory of a repair: for one segment, whatever is in the journal.

#![cfg(target_has_atomic = "64")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, reason = "lengths of records are small")]

#[path = "allocated/mod.rs"]
#[expect(unreachable_pub, reason = "the benchmarks use it too")]
mod allocated;
#[path = "journal/forged.rs"]
mod forged;
#[path = "skip/mod.rs"]
mod skip;

use allocated::{Counting, counted};
use cachemaint::Cache;
use cachemaint::journal::{Position, Repaired};
use cachemaint::medium::Memory;
use cachemaint::survival::Backing;
use core::sync::atomic::AtomicU64;
use forged::SEGMENT;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Repairs a journal of so many segments, in which a record is forged at each of these positions. Returns the result,
/// and the allocated bytes.
fn repaired(
    cache: Cache,
    segments: u64,
    positions: impl Iterator<Item = u64>,
) -> (Repaired, [usize; 2]) {
    let words: Vec<AtomicU64> =
        (0..forged::bytes(segments) / 8).map(|_| AtomicU64::new(0)).collect();
    let memory = Memory::new(&words, cache, Backing::Ram);
    forged::create(&memory);
    positions.for_each(|position| forged::record(&memory, position));
    let ((_, repaired), bytes) =
        counted(|| forged::options(1).repair(&memory).map_err(|failed| failed.error).unwrap());
    (repaired, bytes)
}

/// 72 bytes from the start of a segment there is space for a mark of 64 bytes, and not for a void of 16 bytes behind it.
/// So each record is lost, and the range to cover grows with each one. The last segments are left for the next epoch.
#[test]
fn memory_does_not_grow_with_the_records_that_no_padding_fits_before() {
    let cache = match Cache::host() {
        Ok(cache) => cache,
        Err(why) => {
            return skip::skip(
                "memory_does_not_grow_with_the_records_that_no_padding_fits_before",
                why,
            );
        }
    };
    let [few, many] = [64, 256].map(|segments| {
        let positions = (1..segments - 2).map(|segment| segment * SEGMENT + 72);
        let (repaired, bytes) = repaired(cache, segments, positions);
        let end = (segments - 2) * SEGMENT;
        assert_eq!(repaired.records, 1);
        assert_eq!(repaired.lost, [Position(120)..Position(end)]);
        bytes
    });
    assert_eq!(few, many, "all bytes, and the most at a time");
}

/// Two records at the usual place behind a mark: one in the next segment, and one far behind.
#[test]
fn memory_does_not_grow_with_the_range_that_padding_covers() {
    let cache = match Cache::host() {
        Ok(cache) => cache,
        Err(why) => {
            return skip::skip("memory_does_not_grow_with_the_range_that_padding_covers", why);
        }
    };
    let [few, many] = [64, 256].map(|segments| {
        let far = (segments - 3) * SEGMENT + 64;
        let (repaired, bytes) = repaired(cache, segments, [SEGMENT + 64, far].into_iter());
        assert_eq!(repaired.records, 3);
        let lost = [120..192, 256..far].map(|lost| Position(lost.start)..Position(lost.end));
        assert_eq!(repaired.lost, lost);
        bytes
    });
    assert_eq!(few, many, "all bytes, and the most at a time");
}
