//! Recording, writing back and reading while no memory can be allocated.

#![cfg(target_has_atomic = "64")]
#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use cachemaint::medium::{Backing, Memory};
use cachemaint_recorder::{Clock, Cursor, Durability, Found, Identity, Options};
use cachemaint_test_support::refused::host_or_refused;
use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, which fails on a thread that must not allocate.
struct Failing;

std::thread_local! {
    static FAILS: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: returns memory of the system, or null, which means that the allocation failed.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if FAILS.get() {
            return core::ptr::null_mut();
        }
        // SAFETY: the caller has the same duties as here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller has the same duties as here.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Runs `work` without memory. An allocation ends the process (`handle_alloc_error`), which fails the test.
fn without_memory<R>(work: impl FnOnce() -> R) -> R {
    FAILS.set(true);
    let result = work();
    FAILS.set(false);
    result
}

#[test]
fn a_recorder_lives_without_allocations() {
    let Some(cache) = host_or_refused() else { return };
    for durability in [Durability::OnRequest, Durability::SubBuffer, Durability::EachAppend] {
        let words: Vec<AtomicU64> = (0..4096).map(|_| AtomicU64::new(0)).collect();
        let events = without_memory(|| {
            let clock = Clock::from_function(|| 7, 1000, || 0);
            let options = || {
                let options = Options::with_clock(Identity([4; 16]), clock).shards(2);
                options.sub_buffers(2).sub_buffer_size(512).durability(durability)
            };
            let memory = || Memory::new(&words, cache, Backing::Ram);
            let mut cursors = [const { Cursor::new() }; 3];
            let (_, opened) = options().cursors(&mut cursors).open_or_create(memory()).unwrap();
            assert!(opened.is_new);
            let (recorder, _) = options().cursors(&mut cursors).open(memory()).unwrap();
            let writer = recorder.claim().unwrap();
            (0..100_u8).for_each(|number| writer.record(1, &[number; 60]).unwrap());
            recorder.stop();
            recorder.write_back_all().unwrap();
            let reader = recorder.reader();
            let mut buffer = [0; 432];
            let (mut shard, mut events) = (reader.shard(0), 0);
            while let Some(found) = shard.read_next(&mut buffer).unwrap() {
                events += usize::from(matches!(found, Found::Event(_)));
            }
            events
        });
        // Records of 80 bytes: five fit a sub-buffer after its header.
        assert_eq!(events, 10, "{durability:?}");
    }
}
