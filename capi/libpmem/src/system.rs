//! Facts and calls of the system.

use core::fmt::{self, Write as _};

/// Returns the page size. It is read each time, so that a call interrupted by a signal handler or a fork holds nothing.
pub(crate) fn page_size() -> usize {
    // SAFETY: it reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
}

/// Writes a line to standard error, in one piece.
pub(crate) fn write_error(line: fmt::Arguments<'_>) {
    let mut text = String::new();
    if text.write_fmt(line).is_ok() {
        // SAFETY: the bytes are those of the text. A program without this output does not see it.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }
}
