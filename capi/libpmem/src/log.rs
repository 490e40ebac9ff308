//! The log functions of PMDK 2.1.
//!
//! Without a function of the program, nothing is logged. A program that sets one first gets the name of this library
//! and then each message of `pmem_errormsg` as an error, both without a source location.

use crate::failure::{Failure, errno, set_errno};
use core::ffi::{CStr, c_char, c_int, c_uint};
use core::mem::transmute;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering::Relaxed};

/// `pmem_log_function` of `libpmem.h`: level, file, line, function, message.
type LogFunction = unsafe extern "C" fn(c_int, *const c_char, c_uint, *const c_char, *const c_char);

/// `PMEM_LOG_LEVEL_HARK`, the first level.
const HARK: c_int = 0;
/// `PMEM_LOG_LEVEL_ERROR`.
const ERROR: c_int = 2;
/// `PMEM_LOG_LEVEL_WARNING`.
const WARNING: c_int = 3;
/// `PMEM_LOG_LEVEL_DEBUG`, the last level.
const DEBUG: c_int = 6;

/// A [`LogFunction`], or null.
static FUNCTION: AtomicPtr<()> = AtomicPtr::new(null_mut());
/// Indexed by `enum pmem_log_threshold`, with PMDK's initial values.
static THRESHOLDS: [AtomicI32; 2] = [AtomicI32::new(WARNING), AtomicI32::new(HARK)];

/// Passes an error to the program's function, if it set one that should get errors.
pub(crate) fn error(message: *const c_char) {
    log(ERROR, message);
}

fn log(level: c_int, message: *const c_char) {
    let [threshold, _] = &THRESHOLDS;
    // SAFETY: only `pmem_log_set_function` stores here, and it stores such a function or null.
    let function = unsafe { transmute::<*mut (), Option<LogFunction>>(FUNCTION.load(Relaxed)) };
    if let (Some(function), true) = (function, threshold.load(Relaxed) >= level) {
        // SAFETY: the program vouched for the function; the message is a text that ends with 0.
        unsafe { function(level, null(), 0, null(), message) };
    }
}

/// The name and version of this library. PMDK's passes its own to each new function (`pmem_log_set_function(3)`, NOTE).
const NAME: &CStr = match CStr::from_bytes_with_nul(
    concat!("libpmem of cachemaint ", env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
) {
    Ok(name) => name,
    Err(_) => c"",
};

/// Makes the library pass messages to a function of the program, starting with this library's name; with null, to none.
/// Returns 0.
///
/// # Safety
/// 1. The function can be called by every thread that calls this library, until another one is set.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_log_set_function(function: Option<LogFunction>) -> c_int {
    // SAFETY: a function and null have the size and the values of a pointer.
    FUNCTION.store(unsafe { transmute::<Option<LogFunction>, *mut ()>(function) }, Relaxed);
    log(HARK, NAME.as_ptr());
    0
}

/// Sets a threshold: messages of a later level are not logged. Returns 0, or 1 with `EINVAL` for an unknown threshold
/// or level.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_log_set_threshold(threshold: c_int, level: c_int) -> c_int {
    match place(threshold) {
        Some(place) if (HARK..=DEBUG).contains(&level) => {
            place.store(level, Relaxed);
            0
        }
        _ => Failure::new(
            libc::EINVAL,
            format_args!(
                "no log threshold {threshold} or level {level} exists; use those of libpmem.h"
            ),
        )
        .returning(1),
    }
}

/// Reads a threshold into `level`. Returns 0, or 1 with `EINVAL` for an unknown threshold or null.
///
/// # Safety
/// 1. `level` can be written, or is null.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_log_get_threshold(
    threshold: c_int,
    level: *mut c_int,
) -> c_int {
    let errno_before = errno();
    match place(threshold) {
        Some(place) if !level.is_null() => {
            // SAFETY: it can be written (1).
            unsafe { level.write(place.load(Relaxed)) };
            set_errno(errno_before);
            0
        }
        _ => Failure::new(
            libc::EINVAL,
            format_args!("no log threshold {threshold} exists, or the place for its level is null; use those of libpmem.h"),
        )
        .returning(1),
    }
}

fn place(threshold: c_int) -> Option<&'static AtomicI32> {
    usize::try_from(threshold).ok().and_then(|threshold| THRESHOLDS.get(threshold))
}
