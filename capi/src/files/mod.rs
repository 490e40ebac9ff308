//! Files of C programs.
//!
//! The program stores to the mapping with ordinary stores, so nothing here creates a reference to its bytes.
//!
//! # Why this file is unsafe
//! It trusts the caller for handles, strings, arrays, and the memory of copies.

mod copies;

#[cfg(test)]
pub(crate) use copies::{
    cachemaint_issue_copy, cachemaint_issue_fill, cachemaint_persist_copy, cachemaint_persist_fill,
};

use crate::arguments::{self, CRange, null};
use crate::cancellation;
use crate::error::{Code, Failure, number};
use crate::handle::Handle;
use cachemaint::dax::{DaxFile, Lock, Options};
use core::ffi::{c_char, c_int, c_uint, c_void};
use core::ops::Range;
use core::ptr;
use std::path::Path;

/// `enum cachemaint_flag`.
pub(crate) const CREATE: c_uint = 1;
pub(crate) const NEW: c_uint = 2;
pub(crate) const ALLOW_PAGES: c_uint = 4;
pub(crate) const SHARED_LOCK: c_uint = 8;
pub(crate) const NO_LOCK: c_uint = 16;
pub(crate) const POPULATE: c_uint = 32;

/// Every flag.
const FLAGS: c_uint = 63;

/// Mutually exclusive flags.
const EXCLUSIVE: [c_uint; 2] = [CREATE | NEW, SHARED_LOCK | NO_LOCK];

/// Opens or creates a file.
///
/// # Safety
/// 1. `path` is null or a string that ends with NUL.
/// 2. `file` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_open(
    path: *const c_char,
    length: u64,
    flags: c_uint,
    file: *mut *mut Handle,
) -> c_int {
    let opened = || {
        // SAFETY: (2) is the caller's duty.
        unsafe { arguments::give("file", file, ptr::null_mut()) }?;
        // SAFETY: (1) is the caller's duty.
        let path = unsafe { arguments::path(path) }?;
        let handle = Handle::of(open(path, length, flags)?);
        // SAFETY: (2) is the caller's duty.
        unsafe { arguments::give("file", file, handle) }
    };
    number(cancellation::held_off(opened))
}

fn open(path: &Path, length: u64, flags: c_uint) -> Result<DaxFile, Failure> {
    let options = options(flags)?;
    if i64::try_from(length).is_err() {
        let message = format!("{}: no file can have {length} bytes; request fewer", path.display());
        return Err(Failure::new(Code::InvalidArgument, message));
    }
    if flags & NEW != 0 {
        return Ok(options.create_new(path, length)?);
    }
    if flags & CREATE != 0 {
        return Ok(options.open_or_create(path, length)?);
    }
    let file = options.open(path)?;
    if file.len() < length {
        let message = format!(
            "{}: has {} bytes, but {length} were requested; request fewer, or create a larger file",
            path.display(),
            file.len()
        );
        return Err(Failure::new(Code::TooShort, message));
    }
    Ok(file)
}

fn options(flags: c_uint) -> Result<Options, Failure> {
    let has = |flag: c_uint| flags & flag != 0;
    if has(!FLAGS) || EXCLUSIVE.into_iter().any(|both| flags & both == both) {
        let message = format!(
            "flags is {flags}, with an unknown flag or two mutually exclusive ones; use those of enum cachemaint_flag"
        );
        return Err(Failure::new(Code::InvalidArgument, message));
    }
    let mut options = Options::new();
    if has(ALLOW_PAGES) {
        options = options.allow_page_granularity();
    }
    if has(SHARED_LOCK) {
        options = options.lock(Lock::Shared);
    }
    if has(NO_LOCK) {
        options = options.lock(Lock::Off);
    }
    if has(POPULATE) {
        options = options.populate();
    }
    Ok(options)
}

/// Closes a file.
///
/// # Safety
/// 1. `file` is null or was returned by [`cachemaint_open`].
/// 2. No thread uses it during the call or later.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_close(file: *mut Handle) -> c_int {
    // SAFETY: (1) and (2) are the caller's duties.
    number(cancellation::held_off(|| unsafe { Handle::close(file) }))
}

/// Returns the first byte of the mapping.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_address(file: *const Handle) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { Handle::open(file) }.map_or(ptr::null_mut(), |open| open.file.as_ptr(0).cast())
}

/// Returns the length of the mapping.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_length(file: *const Handle) -> usize {
    // SAFETY: (1) is the caller's duty.
    unsafe { Handle::open(file) }.map_or(0, |open| mapped_len(&open.file))
}

/// Makes the file longer.
///
/// # Safety
/// 1. `file` is null or was returned by [`cachemaint_open`].
/// 2. No other thread uses it meanwhile.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_grow(file: *mut Handle, length: u64) -> c_int {
    // SAFETY: (1) and (2) are the caller's duties.
    let open = unsafe { Handle::open_alone(file) };
    number(open.and_then(|open| cancellation::held_off(|| grow(&mut open.file, length))))
}

fn grow(file: &mut DaxFile, length: u64) -> Result<(), Failure> {
    if length < file.len() {
        let message = format!(
            "{}: has {} bytes, more than {length}; an open file cannot be shortened, so pass a larger length",
            file.path().display(),
            file.len()
        );
        return Err(Failure::new(Code::InvalidArgument, message));
    }
    Ok(file.grow(length)?)
}

/// Makes a range persistent.
///
/// # Safety
/// 1. `file` is null or was returned by [`cachemaint_open`], and no thread closes it meanwhile.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_persist(
    file: *const Handle,
    address: *const c_void,
    length: usize,
) -> c_int {
    // SAFETY: (1) is the caller's duty.
    number(unsafe { on_range(file, address, length, |file, range| file.persist(range)) })
}

/// Begins to write a range back.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_issue_writeback(
    file: *const Handle,
    address: *const c_void,
    length: usize,
) -> c_int {
    // SAFETY: (1) is the caller's duty.
    number(unsafe { on_range(file, address, length, |file, range| file.issue_writeback(range)) })
}

/// Makes a range persistent down to the medium's own buffers.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_deep_persist(
    file: *const Handle,
    address: *const c_void,
    length: usize,
) -> c_int {
    // SAFETY: (1) is the caller's duty.
    number(unsafe {
        on_range(file, address, length, |file, range| {
            cancellation::held_off(|| file.deep_persist(range))
        })
    })
}

/// Completes the write-backs of this thread for this file.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_fence(file: *const Handle) -> c_int {
    // SAFETY: (1) is the caller's duty.
    number(unsafe { Handle::open(file) }.and_then(|open| Ok(open.file.fence()?)))
}

/// Orders stores of other threads that this thread has observed before its next write-backs.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_order_observed(file: *const Handle) -> c_int {
    // SAFETY: (1) is the caller's duty.
    number(unsafe { Handle::open(file) }.map(|open| open.file.order_observed()))
}

/// Makes several ranges persistent under one fence.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
/// 2. `ranges` is null or holds `count` ranges.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_persist_ranges(
    file: *const Handle,
    ranges: *const CRange,
    count: usize,
) -> c_int {
    let persisted = || {
        // SAFETY: (1) is the caller's duty.
        let file = &unsafe { Handle::open(file) }?.file;
        // SAFETY: (2) is the caller's duty.
        let ranges = unsafe { arguments::ranges(ranges, count) }?;
        let ranges = ranges.map(|range| range_in(file, range.address, range.length));
        ranges.clone().try_for_each(|range| range.map(drop))?;
        let persist = || {
            let issued = ranges.flatten().try_for_each(|range| file.view().issue_writeback(range));
            file.view().fence().and(issued)
        };
        Ok(without_cancellation(file, persist)?)
    };
    number(persisted())
}

/// Returns the failure of the open file, if it has failed.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_check(file: *const Handle) -> c_int {
    // SAFETY: (1) is the caller's duty.
    let open = unsafe { Handle::open(file) };
    number(open.and_then(|open| Ok(open.file.check()?)))
}

/// Finds the bytes that the kernel knows to be bad.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
/// 2. `ranges` is null or can be written for `capacity` ranges, `count` and `is_complete` are null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_bad_blocks(
    file: *const Handle,
    ranges: *mut CRange,
    capacity: usize,
    count: *mut usize,
    is_complete: *mut c_int,
) -> c_int {
    let found = || {
        // SAFETY: (1) is the caller's duty.
        let file = &unsafe { Handle::open(file) }?.file;
        if ranges.is_null() && capacity > 0 {
            return Err(null("ranges"));
        }
        // SAFETY: (2) is the caller's duty.
        unsafe { arguments::give("count", count, 0) }?;
        let bad = cancellation::held_off(|| cachemaint_inspect::bad_blocks(file.view()))?;
        let given = bad.ranges.iter().take(capacity).enumerate();
        for (place, range) in given {
            let (address, length) = (file.as_ptr(range.start).cast_const().cast(), span(range));
            // SAFETY: (2) is the caller's duty, and fewer than `capacity` come before.
            unsafe { ranges.wrapping_add(place).write(CRange { address, length }) };
        }
        if !is_complete.is_null() {
            // SAFETY: (2) is the caller's duty.
            unsafe { is_complete.write(bad.is_complete.into()) };
        }
        // SAFETY: (2) is the caller's duty.
        unsafe { arguments::give("count", count, bad.ranges.len()) }
    };
    number(found())
}

/// Performs an operation on a checked range.
///
/// # Safety
/// 1. As for [`cachemaint_persist`].
#[inline(always)]
unsafe fn on_range(
    file: *const Handle,
    address: *const c_void,
    length: usize,
    operation: impl FnOnce(&DaxFile, Range<u64>) -> Result<(), cachemaint::dax::Error>,
) -> Result<(), Failure> {
    // SAFETY: (1) is the caller's duty.
    let file = &unsafe { Handle::open(file) }?.file;
    let range = range_in(file, address, length)?;
    Ok(without_cancellation(file, || operation(file, range))?)
}

/// Performs an operation that makes a system call on a file with page granularity.
#[inline(always)]
fn without_cancellation<R>(file: &DaxFile, operation: impl FnOnce() -> R) -> R {
    match file.view().cache() {
        Some(_) => operation(),
        None => cancellation::held_off(operation),
    }
}

/// Returns the offsets of a range of the mapping. An empty one can be null.
#[inline]
fn range_in(file: &DaxFile, address: *const c_void, length: usize) -> Result<Range<u64>, Failure> {
    let len = mapped_len(file);
    // For an address before the mapping, this exceeds any length.
    let start = address.addr().wrapping_sub(file.as_ptr(0).addr());
    match start.checked_add(length) {
        _ if address.is_null() && length == 0 => Ok(0..0),
        _ if address.is_null() => Err(null("address")),
        Some(end) if end <= len => Ok(start as u64..end as u64),
        _ => Err(out_of_range(file, address, length)),
    }
}

#[cold]
fn out_of_range(file: &DaxFile, address: *const c_void, length: usize) -> Failure {
    let message = format!(
        "{}: {length} bytes at {address:p} are not in its mapping of {} bytes at {:p}; correct the range",
        file.path().display(),
        file.len(),
        file.as_ptr(0)
    );
    Failure::new(Code::OutOfRange, message)
}

#[expect(clippy::cast_possible_truncation, reason = "what is mapped fits the address space")]
#[inline]
fn mapped_len(file: &DaxFile) -> usize {
    file.len() as usize
}

#[expect(clippy::cast_possible_truncation, reason = "what is mapped fits the address space")]
const fn span(range: &Range<u64>) -> usize {
    (range.end - range.start) as usize
}
