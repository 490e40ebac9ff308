//! Texts for C programs.

use core::ffi::{CStr, c_char};
use core::ptr;
use std::ffi::CString;

/// Returns the text for C. A NUL would end it early and is left out.
pub(crate) fn of(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

/// Returns the text as one line, without control characters that a terminal would execute: a file name can contain
/// them.
pub(crate) fn line(text: &str) -> CString {
    let printable =
        |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    of(&text.chars().map(printable).collect::<String>())
}

/// Returns the address of a text, or null if it is missing.
pub(crate) fn address(text: Option<&CStr>) -> *const c_char {
    text.map_or(ptr::null(), CStr::as_ptr)
}
