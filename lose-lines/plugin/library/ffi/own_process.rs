//! The emulator's process: its end, and its symbols.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use std::io::Error;

/// `signal(7)`.
const SIGKILL: c_int = 9;

unsafe extern "C" {
    safe fn kill(process: c_int, signal: c_int) -> c_int;
    safe fn getpid() -> c_int;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Ends this process as a power cut would: nothing runs afterwards. Returns only if that failed.
pub(super) fn end_at_once() -> Error {
    if kill(getpid(), SIGKILL) == 0 {
        // The signal ends the process before the call returns.
        return Error::other("the signal was not taken");
    }
    Error::last_os_error()
}

/// Returns the address of a symbol of the process; null if there is none.
pub(super) fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: a null library stands for the whole process (dlsym(3), `RTLD_DEFAULT`), and the name ends with a zero.
    unsafe { dlsym(null_mut(), name.as_ptr()) }
}
