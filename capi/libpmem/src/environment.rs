//! The environment variables that change the library's behaviour.
//!
//! | variable | effect |
//! |---|---|
//! | `PMEM_NO_FLUSH=1` | `pmem_flush` writes nothing back, as on a machine with caches that survive power loss |
//! | `PMEM_NO_FLUSH=0` | `pmem_flush` writes back even on such a machine |
//! | `PMEM_NO_CLWB=1`, `PMEM_NO_CLFLUSHOPT=1` | use another instruction for write-backs |
//! | `PMEM_NO_MOVNT=1` | copies use no streaming stores |
//! | `PMEM_MOVNT_THRESHOLD=N` | copies without a hint use [the method for cold memory](crate::copy) from `N` bytes; without the variable, sizes measured on CPUs decide |
//! | `PMEM_IS_PMEM_FORCE=0`, `=1` | `pmem_is_pmem` returns 0, or 1; read at its first call |
//! | `PMEM_MMAP_HINT=HEX` | files are mapped at the first free place at this address or above |
//! | `CACHEMAINT_STRICT=1` | the library ends the program when it is loaded, if write-backs are needed but do not reach the point of persistence |
//!
//! `PMEM_AVX`, `PMEM_AVX512F`, `PMEM_MOVDIR64B`, `PMEM_WC_WORKAROUND` and `PMEM_NO_GENERIC_MEMCPY` choose among PMDK's
//! own copy routines and have no effect. All variables but one are read when the library is loaded. None is read in a
//! program that runs with another user's rights.

use core::ffi::{CStr, c_char, c_int, c_longlong};
use core::ptr::null_mut;

/// The variables that are read when the library is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Variables {
    /// True if flushes always write back, false if they never do.
    pub(crate) flush: Option<bool>,
    pub(crate) no_clwb: bool,
    pub(crate) no_clflushopt: bool,
    pub(crate) no_movnt: bool,
    pub(crate) movnt_threshold: Option<c_longlong>,
    pub(crate) mmap_hint: Option<usize>,
}

impl Variables {
    pub(crate) fn read() -> Self {
        let flush = match (is(c"PMEM_NO_FLUSH", c"0"), is(c"PMEM_NO_FLUSH", c"1")) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        Self {
            flush,
            no_clwb: is(c"PMEM_NO_CLWB", c"1"),
            no_clflushopt: is(c"PMEM_NO_CLFLUSHOPT", c"1"),
            no_movnt: is(c"PMEM_NO_MOVNT", c"1"),
            movnt_threshold: number(c"PMEM_MOVNT_THRESHOLD"),
            mmap_hint: address(c"PMEM_MMAP_HINT"),
        }
    }
}

/// Returns true if the variable has exactly this value.
pub(crate) fn is(name: &CStr, value: &CStr) -> bool {
    with(name, |found| found == value) == Some(true)
}

/// Returns the number at the start of the variable's value, as [`integer`] does; `None` if the variable is not set.
pub(crate) fn int(name: &CStr) -> Option<c_int> {
    number(name).map(integer)
}

/// Returns the number at the start of the variable's value, as glibc's `atoll` does: 0 if there is none, and the
/// nearest one if it has too many digits. Returns `None` if the variable is not set.
fn number(name: &CStr) -> Option<c_longlong> {
    with(name, |found| leading_number(found, 10).0)
}

/// Returns the lowest bits of a number, as glibc's `atoi` does.
#[expect(clippy::cast_possible_truncation, reason = "as atoi(3)")]
const fn integer(number: c_longlong) -> c_int {
    number as c_int
}

/// Returns the hexadecimal address at the start of the variable's value, if there is one.
fn address(name: &CStr) -> Option<usize> {
    let (number, is_whole) = with(name, |found| leading_number(found, 16))?;
    usize::try_from(number).ok().filter(|_| is_whole)
}

/// Returns the number at the start of a text, and true if it is exact: not 0 for a missing one, nor the nearest one for
/// too many digits.
fn leading_number(text: &CStr, base: c_int) -> (c_longlong, bool) {
    let before = crate::failure::errno();
    crate::failure::set_errno(0);
    let mut end = null_mut();
    // SAFETY: the text ends with 0, and the end can be written.
    let number = unsafe { libc::strtoll(text.as_ptr(), &raw mut end, base) };
    let is_in_range = crate::failure::errno() == 0;
    crate::failure::set_errno(before);
    (number, is_in_range && end.cast_const() != text.as_ptr())
}

unsafe extern "C" {
    /// `secure_getenv(3)` of glibc and musl.
    fn secure_getenv(name: *const c_char) -> *mut c_char;
}

fn with<T>(name: &CStr, use_value: impl FnOnce(&CStr) -> T) -> Option<T> {
    // SAFETY: the name ends with 0.
    let value = unsafe { secure_getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a value ends with 0. Only a program that changes its environment at the same time can change it.
    Some(use_value(unsafe { CStr::from_ptr(value) }))
}

#[cfg(test)]
mod tests {
    use super::{integer, leading_number};
    use core::ffi::c_longlong;

    #[test]
    fn a_number_is_what_the_text_begins_with() {
        for (text, base, number) in [
            (c"1", 10, (1, true)),
            (c" 12 bytes", 10, (12, true)),
            (c"-15", 10, (-15, true)),
            (c"", 10, (0, false)),
            (c"yes", 10, (0, false)),
            (c"99999999999999999999", 10, (c_longlong::MAX, false)),
            (c"-99999999999999999999", 10, (c_longlong::MIN, false)),
            (c"10000000000", 16, (0x100_0000_0000, true)),
            (c"0x7f", 16, (0x7f, true)),
        ] {
            assert_eq!(leading_number(text, base), number, "{text:?}");
        }
    }

    #[test]
    fn an_integer_is_that_of_atoi() {
        for (text, expected) in [
            (c"1", 1),
            (c"4294967297", 1),
            (c"99999999999999999999", -1),
            (c"-99999999999999999999", 0),
            (c"no", 0),
        ] {
            assert_eq!(integer(leading_number(text, 10).0), expected, "{text:?}");
        }
    }
}
