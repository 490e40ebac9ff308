//! The buffer for a thread's message. It is allocated at the thread's first failure, so that threads without failures
//! pay nothing: a library's thread-local storage is taken from the stack of every thread of the program.
//!
//! The key of the buffers is created at the first failure of the process and deleted when the library is unloaded,
//! which a Rust destructor would prevent.

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

/// Returns the key, if it was created.
fn present_key() -> Option<libc::pthread_key_t> {
    libc::pthread_key_t::try_from(KEY.load(Relaxed)).ok()
}

/// Returns the key, creating it if necessary. If threads arrive first at the same time, the key of one of them is used.
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

/// Returns the thread's buffer, if it has one.
pub(crate) fn present() -> Option<NonNull<Place>> {
    let key = present_key()?;
    // SAFETY: the key was made, and is deleted only when the library is unloaded.
    NonNull::new(unsafe { libc::pthread_getspecific(key) }.cast())
}

/// Returns the thread's buffer, allocated and empty if it had none; `None` if there is no memory for it.
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

/// Deletes the key when the library is unloaded. Messages of threads that are still running are not freed.
extern "C" fn unload() {
    if let Ok(key) = libc::pthread_key_t::try_from(KEY.swap(NO_KEY, Relaxed)) {
        // SAFETY: the key was made, and is not used any more.
        unsafe { libc::pthread_key_delete(key) };
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static UNLOAD: extern "C" fn() = unload;
