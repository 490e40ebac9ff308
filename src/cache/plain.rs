//! Types that a device may overwrite.

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::num::{Saturating, Wrapping};

/// Types for which every bit pattern is a value, so that a device may write anything over them: integers, floats,
/// wrappers of them, arrays and slices. A record with such fields opts in:
///
/// ```
/// use cachemaint::cache::Plain;
///
/// /// A device's completion record.
/// #[repr(C)]
/// #[derive(Clone, Copy, Default)]
/// struct Completion {
///     status: u32,
///     length: u32,
///     cookie: u64,
/// }
///
/// // SAFETY: (1) its fields are integers; (2) none of them is a pointer.
/// unsafe impl Plain for Completion {}
/// ```
///
/// `bool`, `char`, `enum`s, references and `NonZero` have bit patterns that are not values. Use an integer instead, and
/// convert it after the device has written:
///
/// ```compile_fail,E0277
/// let mut done = [false; 64];
/// cachemaint::Cache::host().unwrap().invalidate(&mut done);
/// ```
///
/// # Safety
/// 1. Each byte of the type may take any value, in any combination, whenever the type is borrowed for writing. This
///    includes padding, which is then uninitialised. Anyone may make a value of zeros, so the type must not stand for a
///    right.
/// 2. No field is a reference or a pointer: bytes from a device point to nothing in this program.
#[diagnostic::on_unimplemented(
    message = "a device may write bytes that are not a valid `{Self}`",
    label = "not known to have a value for every bit pattern",
    note = "integers, floats, `MaybeUninit`, and arrays and slices of such types do",
    note = "for a record of such fields write `unsafe impl cachemaint::cache::Plain for … {{}}`, which has two duties"
)]
pub unsafe trait Plain {}

macro_rules! plain {
    ($($plain:ty)*) => {
        $(
            // SAFETY: (1) every bit pattern is a value; (2) it is no pointer.
            unsafe impl Plain for $plain {}
        )*
    };
}

plain!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

macro_rules! atomics {
    ($($bits:literal $unsigned:ident $signed:ident)*) => {
        $(
            // SAFETY: (1) and (2) hold for the integer, which has the same bit patterns.
            #[cfg(target_has_atomic = $bits)]
            unsafe impl Plain for core::sync::atomic::$unsigned {}
            // SAFETY: as above.
            #[cfg(target_has_atomic = $bits)]
            unsafe impl Plain for core::sync::atomic::$signed {}
        )*
    };
}

atomics!("8" AtomicU8 AtomicI8 "16" AtomicU16 AtomicI16 "32" AtomicU32 AtomicI32 "64" AtomicU64 AtomicI64 "ptr" AtomicUsize AtomicIsize);

macro_rules! wrappers {
    ($($wrapper:ident)*) => {
        $(
            // SAFETY: (1) and (2) hold for the type within, which has the same bit patterns.
            unsafe impl<T: Plain> Plain for $wrapper<T> {}
        )*
    };
}

wrappers!(Wrapping Saturating Cell UnsafeCell MaybeUninit);

// SAFETY: (1) and (2) hold for each element.
unsafe impl<T: Plain> Plain for [T] {}
// SAFETY: (1) and (2) hold for each element.
unsafe impl<T: Plain, const LEN: usize> Plain for [T; LEN] {}
