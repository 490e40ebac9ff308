//! Failures: an `errno` for the caller, and a message for `pmem_errormsg`.
//!
//! The message is written when the failure occurs. `errno` is set when the function returns, since closing files in
//! between can change it.

use crate::log;
use crate::message;
use core::ffi::{CStr, c_char, c_int};
use core::fmt::{self, Write as _};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// A failed operation, with the `errno` for its caller. Its message is the thread's last one.
#[derive(Debug)]
#[must_use]
pub(crate) struct Failure(c_int);

impl Failure {
    /// Keeps the message for `pmem_errormsg`, and passes it to the program's log function.
    pub(crate) fn new(errno: c_int, message: fmt::Arguments<'_>) -> Self {
        keep(message);
        Self(errno)
    }

    /// Sets `errno` and returns the value that indicates a failure.
    pub(crate) fn returning<T>(self, value: T) -> T {
        set_errno(self.0);
        value
    }
}

/// Replaces the thread's message, and passes it to the program's log function. If there is no memory for it, the
/// message stays empty.
pub(crate) fn keep(message: fmt::Arguments<'_>) {
    write(message);
    log::error(last());
}

fn write(message: fmt::Arguments<'_>) {
    let Some(place) = message::place() else { return };
    // SAFETY: the place is this thread's alone, and no reference to it outlives a call of this module. Formatting calls
    // no code that would come back here.
    let room = unsafe { &mut *place.as_ptr() };
    let mut text = Text { room, len: 0 };
    // A message that is too long is truncated.
    let _is_whole = text.write_fmt(message).is_ok();
    text.end();
}

/// Returns the thread's zero-terminated message. It is empty before the first failure.
pub(crate) fn last() -> *const c_char {
    message::present().map_or(c"".as_ptr(), |place| place.as_ptr().cast::<c_char>().cast_const())
}

/// Returns the message of the last failure in this thread, or an empty string. It is valid until the next failure in
/// the thread, and is never cleared.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_errormsg() -> *const c_char {
    last()
}

/// Returns the thread's `errno`.
pub(crate) fn errno() -> c_int {
    // SAFETY: the place is valid as long as the thread lives.
    unsafe { place_of_errno().read() }
}

/// Sets the thread's `errno`.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: the place is valid as long as the thread lives.
    unsafe { place_of_errno().write(value) };
}

fn place_of_errno() -> *mut c_int {
    // SAFETY: it only returns the address of the thread's own `errno`.
    unsafe { libc::__errno_location() }
}

/// Text in a buffer of fixed size, with one byte left for the terminator.
struct Text<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Text<'_> {
    fn end(self) {
        if let Some(byte) = self.room.get_mut(self.len) {
            *byte = 0;
        }
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let free = self.room.len().saturating_sub(self.len).saturating_sub(1);
        let fits = (0..=free.min(s.len())).rfind(|at| s.is_char_boundary(*at)).unwrap_or(0);
        let place = self.room.get_mut(self.len..).and_then(|rest| rest.get_mut(..fits));
        let (Some(place), Some(bytes)) = (place, s.as_bytes().get(..fits)) else {
            return Err(fmt::Error);
        };
        place.copy_from_slice(bytes);
        self.len = self.len.saturating_add(fits);
        if fits == s.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// A path in a message. Invalid UTF-8 is replaced by U+FFFD.
pub(crate) struct Path<'a>(pub(crate) &'a CStr);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OsStr::from_bytes(self.0.to_bytes()).display().fmt(f)
    }
}

/// The C library's text of an `errno`.
pub(crate) struct Reason(pub(crate) c_int);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 128];
        // SAFETY: the place has that length, and the function ends the text in it.
        let found = unsafe { libc::strerror_r(self.0, text.as_mut_ptr().cast(), text.len()) } == 0;
        match CStr::from_bytes_until_nul(&text) {
            Ok(text) if found => Path(text).fmt(f),
            _ => write!(f, "error {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ROOM;

    fn text() -> String {
        // SAFETY: a text that ends with 0 and is not replaced before it is copied.
        let text = unsafe { CStr::from_ptr(last()) };
        text.to_string_lossy().into_owned()
    }

    #[test]
    fn a_message_stays_until_the_next_one_of_its_thread() {
        assert_eq!(text(), "");
        let failure = Failure::new(libc::EINVAL, format_args!("first, and longer"));
        std::thread::spawn(|| assert_eq!(text(), "")).join().unwrap();
        assert_eq!(failure.returning(-1), -1);
        assert_eq!(errno(), libc::EINVAL);
        keep(format_args!("second"));
        assert_eq!(text(), "second");
    }

    #[test]
    fn a_message_ends_where_its_room_does() {
        keep(format_args!("{}é", "x".repeat(ROOM - 2)));
        assert_eq!(text(), "x".repeat(ROOM - 2));
        keep(format_args!("{}{}", "x".repeat(ROOM), "y"));
        assert_eq!(text(), "x".repeat(ROOM - 1));
    }

    #[test]
    fn a_path_can_have_any_bytes() {
        keep(format_args!("{}: {}", Path(c"a\xffb"), Reason(libc::ENOENT)));
        assert_eq!(text(), "a\u{fffd}b: No such file or directory");
    }
}
