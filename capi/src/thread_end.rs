//! A call at the end of each thread that asks for it.
//!
//! It is the destructor of a C library key. `exit` does not call it, so `atexit` handlers run before it; glibc would
//! call destructors of Rust's thread-local values earlier. The key is deleted when the library is unloaded.
//!
//! # Why this file is unsafe
//! It calls functions of the C library.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use libc::pthread_key_t;

/// No key: Linux C libraries have at most 1024 of them.
const NO_KEY: pthread_key_t = pthread_key_t::MAX;
static KEY: AtomicU32 = AtomicU32::new(NO_KEY);

/// Makes a function run when this thread ends. It is the same function in every call. It does not run if there is no
/// key, or no memory for its value.
pub(crate) fn call(function: unsafe extern "C" fn(*mut c_void)) {
    if let Some(key) = key(function) {
        // SAFETY: the key was made. The value is not followed.
        let _is_set = unsafe { libc::pthread_setspecific(key, (&raw const KEY).cast()) };
    }
}

/// Returns the key, creating it if necessary. If threads arrive first at the same time, the key of one of them is used.
/// No thread waits for another one, which a forked child would not have.
fn key(function: unsafe extern "C" fn(*mut c_void)) -> Option<pthread_key_t> {
    let present = KEY.load(Relaxed);
    if present != NO_KEY {
        return Some(present);
    }
    let mut key = 0;
    // SAFETY: it is a variable.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(function)) } != 0 {
        return None;
    }
    let Err(first) = KEY.compare_exchange(NO_KEY, key, Relaxed, Relaxed) else { return Some(key) };
    // SAFETY: no other thread has the key.
    unsafe { libc::pthread_key_delete(key) };
    Some(first)
}

/// Threads that are still running do not call the function, since its code may be gone.
extern "C" fn unload() {
    let key = KEY.swap(NO_KEY, Relaxed);
    if key != NO_KEY {
        // SAFETY: the key was made, and no thread is in the library any more.
        unsafe { libc::pthread_key_delete(key) };
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static UNLOAD: extern "C" fn() = unload;
