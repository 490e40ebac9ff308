//! Checking the arguments of C programs.
//!
//! # Why this file is unsafe
//! It reads and writes memory that the caller names and vouches for.

use crate::error::{Code, Failure};
use cachemaint::cache::Destination;
use core::ffi::{CStr, c_char, c_uint, c_void};
use core::mem::size_of;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The largest structure in any later version of the header, in bytes.
const LARGEST: usize = 4096;

/// `struct cachemaint_range`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct CRange {
    pub(crate) address: *const c_void,
    pub(crate) length: usize,
}

/// `enum cachemaint_destination`, with any value that a C program can pass.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct CDestination(pub(crate) c_uint);

impl CDestination {
    #[inline]
    pub(crate) fn checked(self) -> Result<Destination, Failure> {
        match self.0 {
            0 => Ok(Destination::Unknown),
            1 => Ok(Destination::Cached),
            2 => Ok(Destination::Cold),
            other => Err(unknown_number("destination", other)),
        }
    }
}

#[cold]
pub(crate) fn unknown_number(name: &str, number: c_uint) -> Failure {
    let message = format!("{name} is {number}; use a constant of its enumeration");
    Failure::new(Code::InvalidArgument, message)
}

#[cold]
pub(crate) fn null(name: &str) -> Failure {
    Failure::new(Code::InvalidArgument, format!("{name} is a null pointer; pass its address"))
}

/// Checks that a range of memory can exist. An empty one can be null.
#[inline]
pub(crate) fn memory(name: &str, address: *const c_void, length: usize) -> Result<(), Failure> {
    if address.is_null() && length > 0 {
        return Err(null(name));
    }
    let fits = isize::try_from(length).is_ok() && address.addr().checked_add(length).is_some();
    if fits { Ok(()) } else { Err(past_the_end(name, address, length)) }
}

#[cold]
fn past_the_end(name: &str, address: *const c_void, length: usize) -> Failure {
    let message = format!(
        "{name}: {length} bytes at {address:p} exceed the address space; correct the length"
    );
    Failure::new(Code::OutOfRange, message)
}

/// Returns the path in a C string.
///
/// # Safety
/// 1. It is null or a NUL-terminated string, which does not change while the path is used.
pub(crate) unsafe fn path<'a>(path: *const c_char) -> Result<&'a Path, Failure> {
    if path.is_null() {
        return Err(null("path"));
    }
    // SAFETY: (1) is the caller's duty, and it is not null.
    let path = unsafe { CStr::from_ptr(path) };
    Ok(Path::new(OsStr::from_bytes(path.to_bytes())))
}

/// Returns the ranges in an array, one after the other.
///
/// # Safety
/// 1. It is null, or points to `count` ranges that do not change while they are used.
pub(crate) unsafe fn ranges(
    ranges: *const CRange,
    count: usize,
) -> Result<impl Iterator<Item = CRange> + Clone, Failure> {
    if ranges.is_null() && count > 0 {
        return Err(null("ranges"));
    }
    let most = isize::MAX.cast_unsigned() / size_of::<CRange>();
    if count > most {
        let message = format!("count is {count}, which is more than memory can hold; correct it");
        return Err(Failure::new(Code::OutOfRange, message));
    }
    // SAFETY: (1) is the caller's duty; the place is one of `count`, so not that of a null pointer.
    Ok((0..count).map(move |place| unsafe { ranges.wrapping_add(place).read() }))
}

/// Stores a value at an address.
///
/// # Safety
/// 1. It is null, or can be written for the size of the value.
pub(crate) unsafe fn give<T>(name: &str, into: *mut T, value: T) -> Result<(), Failure> {
    if into.is_null() {
        return Err(null(name));
    }
    // SAFETY: (1) is the caller's duty, and it is not null.
    unsafe { into.write(value) };
    Ok(())
}

/// Fills at most `size` bytes of a structure, which can be shorter or longer in the caller's version of the header.
/// Fields that this version does not know are set to 0.
///
/// # Safety
/// 1. It is null, or can be written for `size` bytes.
pub(crate) unsafe fn fill<T: Copy>(into: *mut T, size: usize, value: &T) -> Result<(), Failure> {
    if into.is_null() {
        return Err(null("the structure"));
    }
    if size == 0 || size > LARGEST {
        let message = format!("size is {size}; pass the sizeof the structure");
        return Err(Failure::new(Code::InvalidArgument, message));
    }
    let known = size.min(size_of::<T>());
    let into = into.cast::<u8>();
    // SAFETY: (1) is the caller's duty; no more is read than the value has.
    unsafe { into.copy_from_nonoverlapping(core::ptr::from_ref(value).cast(), known) };
    // SAFETY: (1) is the caller's duty; it is the rest of `size` bytes.
    unsafe { into.wrapping_add(known).write_bytes(0, size - known) };
    Ok(())
}
