//! Disabling cancellation of the calling thread (`pthread_cancel`) during a call.
//!
//! glibc unwinds a cancelled thread through the frames of this library. They run no destructors, since the library is
//! compiled to abort on panics. Descriptors, locks and waiting threads would be left behind. musl does not unwind at all.
//!
//! # Why this file is unsafe
//! It declares a function of the C library that the crate `libc` does not have on Linux.

use core::ffi::c_int;

/// `PTHREAD_CANCEL_DISABLE` of the C libraries on Linux.
const DISABLED: c_int = 1;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// Calls a function that makes system calls. A cancellation in the meantime takes effect at the thread's next
/// cancellation point.
pub(crate) fn held_off<R>(call: impl FnOnce() -> R) -> R {
    let before = set(DISABLED);
    let result = call();
    set(before);
    result
}

/// Sets the state of this thread and returns the one before.
fn set(state: c_int) -> c_int {
    let mut before = state;
    // SAFETY: it is a variable. An unknown state is refused, and changes nothing.
    unsafe { pthread_setcancelstate(state, &raw mut before) };
    before
}
