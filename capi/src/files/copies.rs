//! Copies into files, and fills.

use super::{range_in, span};
use crate::arguments::{CDestination, memory};
use crate::cancellation;
use crate::error::{Failure, number};
use crate::handle::Handle;
use cachemaint::cache::{Copier, Destination};
use cachemaint::dax::DaxFile;
use cachemaint::medium::Granularity;
use core::ffi::{c_int, c_uchar, c_void};
use core::ops::Range;

/// The number of bytes of a copy that are read at a time if the operating system writes back.
const CHUNK: usize = 4096;

/// Copies bytes into the file and makes them persistent.
///
/// # Safety
/// 1. As for [`cachemaint_persist`](super::cachemaint_persist).
/// 2. `from` is null or mapped. No other thread uses `to` or writes `from` meanwhile.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_persist_copy(
    file: *mut Handle,
    to: *mut c_void,
    from: *const c_void,
    length: usize,
    destination: CDestination,
) -> c_int {
    // SAFETY: (1) and (2) are the caller's duties.
    let copied = unsafe { checked_copy(file, to, from, length, destination) };
    number(copied.and_then(|file| Ok(file.fence()?)))
}

/// Copies bytes into the file and begins to write them back.
///
/// # Safety
/// 1. As for [`cachemaint_persist`](super::cachemaint_persist).
/// 2. As for [`cachemaint_persist_copy`]; for `to`, until [`cachemaint_fence`](super::cachemaint_fence) has returned on
///    this thread.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_issue_copy(
    file: *mut Handle,
    to: *mut c_void,
    from: *const c_void,
    length: usize,
    destination: CDestination,
) -> c_int {
    // SAFETY: (1) and (2) are the caller's duties.
    number(unsafe { checked_copy(file, to, from, length, destination) }.map(drop))
}

/// Sets bytes of the file and makes them persistent.
///
/// # Safety
/// 1. As for [`cachemaint_persist`](super::cachemaint_persist).
/// 2. No other thread uses the range meanwhile.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_persist_fill(
    file: *mut Handle,
    to: *mut c_void,
    byte: c_uchar,
    length: usize,
    destination: CDestination,
) -> c_int {
    // SAFETY: (1) and (2) are the caller's duties.
    let filled = unsafe { checked_fill(file, to, byte, length, destination) };
    number(filled.and_then(|file| Ok(file.fence()?)))
}

/// Sets bytes of the file and begins to write them back.
///
/// # Safety
/// 1. As for [`cachemaint_persist`](super::cachemaint_persist).
/// 2. No other thread uses the range until [`cachemaint_fence`](super::cachemaint_fence) has returned on this thread.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_issue_fill(
    file: *mut Handle,
    to: *mut c_void,
    byte: c_uchar,
    length: usize,
    destination: CDestination,
) -> c_int {
    // SAFETY: (1) and (2) are the caller's duties.
    number(unsafe { checked_fill(file, to, byte, length, destination) }.map(drop))
}

/// Copies bytes into the file after checking the arguments, and returns the file, whose fence completes the copy.
///
/// # Safety
/// 1. As for [`cachemaint_issue_copy`].
#[inline(always)]
unsafe fn checked_copy<'a>(
    file: *const Handle,
    to: *const c_void,
    from: *const c_void,
    length: usize,
    destination: CDestination,
) -> Result<&'a DaxFile, Failure> {
    // SAFETY: (1) is the caller's duty.
    let file = &unsafe { Handle::open(file) }?.file;
    let range = range_in(file, to, length)?;
    memory("from", from, length)?;
    let from = from.cast();
    match copies(file, destination.checked()?) {
        _ if range.is_empty() => {}
        // SAFETY: the range was checked, and the mapping can be written; the rest is the caller's duty (1).
        Some(copies) => unsafe { copies.copy(file.as_ptr(range.start), from, length) },
        None => cancellation::held_off(|| {
            // SAFETY: the range was checked; the rest is the caller's duty (1).
            unsafe { copy_by_pages(file, &range, from) };
            file.persist(range)
        })?,
    }
    Ok(file)
}

/// Sets bytes of the file after checking the arguments, and returns the file, whose fence completes the fill.
///
/// # Safety
/// 1. As for [`cachemaint_issue_fill`].
#[inline(always)]
unsafe fn checked_fill<'a>(
    file: *const Handle,
    to: *const c_void,
    byte: c_uchar,
    length: usize,
    destination: CDestination,
) -> Result<&'a DaxFile, Failure> {
    // SAFETY: (1) is the caller's duty.
    let file = &unsafe { Handle::open(file) }?.file;
    let range = range_in(file, to, length)?;
    let destination = destination.checked()?;
    match copies(file, destination) {
        _ if range.is_empty() => {}
        // SAFETY: the range was checked, and the mapping can be written; the rest is the caller's duty (1).
        Some(copies) => unsafe { copies.fill(file.as_ptr(range.start), length, byte) },
        None => cancellation::held_off(|| file.persist_fill(range, byte, destination))?,
    }
    Ok(file)
}

/// Returns copies into a file by address; `None` if the operating system writes back.
#[inline]
fn copies(file: &DaxFile, destination: Destination) -> Option<Copier> {
    let cache = file.view().cache()?;
    Some(cache.copier(Some(destination), file.granularity() != Granularity::Byte))
}

/// Copies bytes through a buffer, in the direction that an overlap allows. The parts end at multiples of their size in
/// the file, so no word is in two of them; a crash between two stores would tear it.
///
/// # Safety
/// 1. The range is in the mapping, and `from` can be read for its length.
/// 2. No other thread uses the range or writes `from` meanwhile.
unsafe fn copy_by_pages(file: &DaxFile, to: &Range<u64>, from: *const u8) {
    let len = span(to);
    let backwards = from.addr() < file.as_ptr(to.start).addr();
    // The mapping begins at a multiple of the page size.
    let lead = file.as_ptr(to.start).addr() % CHUNK;
    let count = (lead + len).div_ceil(CHUNK);
    let mut chunk = [0; CHUNK];
    for number in 0..count {
        let number = if backwards { count - 1 - number } else { number };
        let offset = (number * CHUNK).saturating_sub(lead);
        let end = len.min((number + 1) * CHUNK - lead);
        let Some(bytes) = chunk.get_mut(..end - offset) else { return };
        let from = from.wrapping_add(offset);
        // SAFETY: (1) and (2) are the caller's duties; the buffer is another value.
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        file.write(to.start + offset as u64, bytes);
    }
}
