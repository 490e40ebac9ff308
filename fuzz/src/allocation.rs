//! A bound of each allocation: a medium of some KiB must not make a reader ask for much memory.

#![expect(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::abort;

/// The greatest allocation; a greater one is a finding.
const MOST: usize = 64 << 20;

#[global_allocator]
static BOUNDED: Bounded = Bounded;

/// The allocator of the system, which ends the process at a large allocation.
struct Bounded;

fn check(bytes: usize) {
    if bytes > MOST {
        // A panic would unwind through code that expects none.
        eprintln!("{bytes} bytes were asked for at once, and {MOST} may be");
        abort();
    }
}

// SAFETY: each call is handed on unchanged to the allocator of the system.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller has answered for the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        check(bytes);
        // SAFETY: the caller has answered for the block, the layout and the new size.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller has answered for the block and the layout.
        unsafe { System.dealloc(at, layout) }
    }
}
