//! The instructions used on this machine.
//!
//! # Why this file is unsafe
//! It fills a structure that the caller names, and publishes texts that are made once.

use crate::arguments;
use crate::cancellation;
use crate::error::{Failure, number};
use crate::text;
use cachemaint::cache::Choice;
use cachemaint::{Cache, Point};
use core::ffi::{c_char, c_int};
use core::ptr;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Release};
use std::ffi::CString;

/// `struct cachemaint_host`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct CHost {
    pub(crate) line_size: usize,
    pub(crate) granule: usize,
    pub(crate) writeback: *const c_char,
    pub(crate) writeback_fence_before: *const c_char,
    pub(crate) writeback_fence: *const c_char,
    pub(crate) invalidate: *const c_char,
    pub(crate) invalidate_fence_before: *const c_char,
    pub(crate) invalidate_fence: *const c_char,
    pub(crate) persist: *const c_char,
    pub(crate) persist_refused: *const c_char,
}

/// The texts for the structure, which are kept as long as the library is loaded.
struct Texts {
    writeback: Operation,
    invalidate: Operation,
    /// The instruction that reaches the point of persistence, or the reason why none does.
    persist: Result<CString, CString>,
}

/// An instruction and its fences.
struct Operation {
    instruction: CString,
    before: Option<CString>,
    after: CString,
}

impl Operation {
    fn new(choice: Choice) -> Self {
        let Choice { instruction, before, after, .. } = choice;
        Self {
            instruction: text::of(instruction.name),
            before: before.map(text::of),
            after: text::of(after),
        }
    }
}

impl Texts {
    fn of(cache: Cache) -> Self {
        let persist = cache.to(Point::Persistence);
        Self {
            writeback: Operation::new(cache.writeback_choice()),
            invalidate: Operation::new(cache.invalidate_choice()),
            persist: persist
                .map(|cache| text::of(cache.writeback_choice().instruction.name))
                .map_err(|why| text::of(&why.to_string())),
        }
    }
}

/// Returns the texts for the process's choice, and creates them at the first call. Threads that arrive first at the
/// same time all create them, and none waits for another: a forked child would not have the thread that it would wait
/// for.
fn texts(cache: Cache) -> &'static Texts {
    static TEXTS: AtomicPtr<Texts> = AtomicPtr::new(ptr::null_mut());
    let made = TEXTS.load(Acquire);
    // SAFETY: it is null, or that of a box that was leaked below.
    if let Some(made) = unsafe { made.as_ref() } {
        return made;
    }
    let new = Box::into_raw(Box::new(Texts::of(cache)));
    let first = match TEXTS.compare_exchange(ptr::null_mut(), new, Release, Acquire) {
        Ok(_null) => new,
        Err(first) => {
            // SAFETY: it was made of a box above, and nothing else knows of it.
            drop(unsafe { Box::from_raw(new) });
            first
        }
    };
    // SAFETY: it was made of a box, and is not released.
    unsafe { &*first }
}

fn host() -> Result<CHost, Failure> {
    let cache = Cache::host()?;
    let Texts { writeback, invalidate, persist } = texts(cache);
    Ok(CHost {
        line_size: cache.line_size(),
        granule: cache.granule(),
        writeback: writeback.instruction.as_ptr(),
        writeback_fence_before: text::address(writeback.before.as_deref()),
        writeback_fence: writeback.after.as_ptr(),
        invalidate: invalidate.instruction.as_ptr(),
        invalidate_fence_before: text::address(invalidate.before.as_deref()),
        invalidate_fence: invalidate.after.as_ptr(),
        persist: text::address(persist.as_deref().ok()),
        persist_refused: text::address(persist.as_deref().err().map(|why| &**why)),
    })
}

/// Fills in the instructions of this machine.
///
/// # Safety
/// 1. `into` is null or can be written for `size` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_get_host(into: *mut CHost, size: usize) -> c_int {
    // SAFETY: (1) is the caller's duty.
    number(
        cancellation::held_off(host).and_then(|host| unsafe { arguments::fill(into, size, &host) }),
    )
}
