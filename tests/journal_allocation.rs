//! The memory of a repair: for one segment, whatever is in the journal.

#![cfg(target_has_atomic = "64")]
#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, reason = "lengths of records are small")]

#[path = "journal/forged.rs"]
mod forged;
#[path = "skip/mod.rs"]
mod skip;

use cachemaint::Cache;
use cachemaint::journal::{Position, Repaired};
use cachemaint::medium::Memory;
use cachemaint::survival::Backing;
use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use forged::SEGMENT;
use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, which counts the bytes of each thread.
struct Counting;

/// Bytes of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes {
    /// All bytes that were ever allocated.
    total: usize,
    /// The bytes that are allocated now. Bytes of another thread may be released here.
    now: isize,
    /// The most bytes that were allocated at a time.
    most: isize,
}

std::thread_local! {
    static BYTES: Cell<Bytes> = const { Cell::new(Bytes { total: 0, now: 0, most: 0 }) };
}

// SAFETY: it returns the memory of the system's allocator, and takes no other back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Bytes { total, now, most } = BYTES.get();
        let now = now + layout.size().cast_signed();
        BYTES.set(Bytes { total: total + layout.size(), now, most: most.max(now) });
        // SAFETY: the duties are the caller's, as here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let bytes = BYTES.get();
        BYTES.set(Bytes { now: bytes.now - layout.size().cast_signed(), ..bytes });
        // SAFETY: the duties are the caller's, as here.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the result of `work` with the bytes that it allocated in all and at most at a time.
fn counted<R>(work: impl FnOnce() -> R) -> (R, [usize; 2]) {
    BYTES.set(Bytes::default());
    let result = work();
    let Bytes { total, most, .. } = BYTES.get();
    (result, [total, most.unsigned_abs()])
}

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
