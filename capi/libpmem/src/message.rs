//! The place of a thread's message: allocated at its first failure, so that threads without one pay nothing. The
//! thread-local storage of a library is taken from the stack of every thread of the program.
//!
//! The key of the places is made at the first failure of the process, and given back when the library is unloaded, which
//! a destructor of Rust's would prevent.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// The size of a message: the longest path and the words around it.
pub(crate) const ROOM: usize = 4096 + 512;

type Place = [u8; ROOM];

const NO_KEY: i64 = -1;
static KEY: AtomicI64 = AtomicI64::new(NO_KEY);

/// Frees the message of a thread that ends.
unsafe extern "C" fn release(place: *mut c_void) {
    // SAFETY: it was allocated for the key of this destructor, and the thread has no other use for it.
    unsafe { libc::free(place) };
}

/// Returns the key, if it was made.
fn present_key() -> Option<libc::pthread_key_t> {
    libc::pthread_key_t::try_from(KEY.load(Relaxed)).ok()
}

/// Returns the key, made if it must be. Of threads that are first together, one has its key taken.
fn key() -> Option<libc::pthread_key_t> {
    if let Some(key) = present_key() {
        return Some(key);
    }
    let mut key = 0;
    // SAFETY: the key can be written.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(release)) } != 0 {
        return None;
    }
    match KEY.compare_exchange(NO_KEY, i64::from(key), Relaxed, Relaxed) {
        Ok(_) => Some(key),
        Err(first) => {
            // SAFETY: no other thread knows the key.
            unsafe { libc::pthread_key_delete(key) };
            libc::pthread_key_t::try_from(first).ok()
        }
    }
}

/// Returns the thread's place, if it has one.
pub(crate) fn present() -> Option<NonNull<Place>> {
    let key = present_key()?;
    // SAFETY: the key was made, and is deleted only when the library is unloaded.
    NonNull::new(unsafe { libc::pthread_getspecific(key) }.cast())
}

/// Returns the thread's place, allocated and empty if it had none; `None` without memory for it.
pub(crate) fn place() -> Option<NonNull<Place>> {
    if let Some(place) = present() {
        return Some(place);
    }
    let key = key()?;
    // SAFETY: it can be called at any time.
    let place = NonNull::new(unsafe { libc::calloc(1, ROOM) })?;
    // SAFETY: the key was made.
    if unsafe { libc::pthread_setspecific(key, place.as_ptr().cast_const()) } != 0 {
        // SAFETY: it was allocated just now, and no one else knows it.
        unsafe { libc::free(place.as_ptr()) };
        return None;
    }
    Some(place.cast())
}

/// Gives the key back when the library is unloaded. Messages of threads that still run are not freed.
extern "C" fn unload() {
    if let Ok(key) = libc::pthread_key_t::try_from(KEY.swap(NO_KEY, Relaxed)) {
        // SAFETY: the key was made, and is not used any more.
        unsafe { libc::pthread_key_delete(key) };
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static UNLOAD: extern "C" fn() = unload;
