//! A bound on memory: a medium of some KiB must not make a reader request much.

#![expect(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::abort;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::panicking;

/// The largest allocation allowed; a larger one is a finding.
const MOST: usize = 1 << 20;
/// The bound on live bytes of an input: this many times its medium, since the claims keep copies of it, plus a
/// constant.
const TIMES: usize = 16;
const MORE: usize = 256 << 10;

/// The number of allocated bytes.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The limit for that number.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static BOUNDED: Bounded = Bounded;

/// The system's allocator, which ends the process on a large allocation.
struct Bounded;

/// Runs an input with a medium of this many bytes.
pub(crate) fn bounded(medium: u64, run: impl FnOnce()) {
    LIMIT.store(LIVE.load(Relaxed) + TIMES * medium as usize + MORE, Relaxed);
    run();
    LIMIT.store(usize::MAX, Relaxed);
}

fn take(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    let limit = LIMIT.load(Relaxed);
    if bytes <= MOST && live <= limit || panicking() {
        // A panic is already a finding, and its trace takes memory.
        return;
    }
    // The message allocates, and a panic would unwind through code that expects none.
    LIMIT.store(usize::MAX, Relaxed);
    eprintln!(
        "{bytes} bytes requested at once, at most {MOST} allowed; {live} live, at most {limit}"
    );
    abort();
}

fn give_back(bytes: usize) {
    LIVE.fetch_sub(bytes, Relaxed);
}

// SAFETY: each call is handed on unchanged to the allocator of the system.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller has answered for the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        take(bytes);
        give_back(layout.size());
        // SAFETY: the caller has answered for the block, the layout and the new size.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: the caller has answered for the block and the layout.
        unsafe { System.dealloc(at, layout) }
    }
}
