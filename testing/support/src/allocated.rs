//! An allocator that counts bytes.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, which counts the bytes of each thread. While memory is reallocated both places count.
#[derive(Debug)]
pub struct Counting;

/// Bytes of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes {
    /// The bytes that are allocated now. Bytes of another thread may be released here.
    now: isize,
    /// The most bytes that were allocated at a time.
    most: isize,
}

std::thread_local! {
    static BYTES: Cell<Bytes> = const { Cell::new(Bytes { now: 0, most: 0 }) };
}

// SAFETY: it returns the memory of the system's allocator, and takes no other back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Bytes { now, most } = BYTES.get();
        let now = now + layout.size().cast_signed();
        BYTES.set(Bytes { now, most: most.max(now) });
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

/// Returns the result of `work` with the bytes that this thread allocated meanwhile: at most at a time, and in the end.
pub fn counted<R>(work: impl FnOnce() -> R) -> (R, [usize; 2]) {
    BYTES.set(Bytes::default());
    let result = work();
    let Bytes { now, most } = BYTES.get();
    (result, [most, now].map(|bytes| usize::try_from(bytes).unwrap_or(0)))
}
