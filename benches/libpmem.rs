//! The peer: PMDK's libpmem, if it is installed (Debian: `libpmem1`), and its replacement that is built here. Each is
//! loaded when a benchmark runs and is not needed to build one.

#![expect(unsafe_code, reason = "a C library is loaded and called")]

use crate::functions::load;
use crate::measure::copy::Target;
use core::ffi::{c_int, c_void};
use core::sync::atomic::AtomicU64;
use libloading::Library;
use std::io::{self, Write};

/// `void pmem_persist(const void *addr, size_t len)` (`libpmem(7)`).
type Persist = unsafe extern "C" fn(*const c_void, usize);

/// `void pmem_flush(const void *addr, size_t len)` (`libpmem(7)`).
type Flush = unsafe extern "C" fn(*const c_void, usize);

/// `void pmem_drain(void)` (`libpmem(7)`).
type Drain = unsafe extern "C" fn();

/// `void *pmem_memcpy_persist(void *pmemdest, const void *src, size_t len)` (`libpmem(7)`).
type MemcpyPersist = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void;

/// `void *pmem_memset_persist(void *pmemdest, int c, size_t len)` (`libpmem(7)`).
type MemsetPersist = unsafe extern "C" fn(*mut c_void, c_int, usize) -> *mut c_void;

/// The original, as the dynamic loader finds it.
const ORIGINAL: &str = "libpmem.so.1";

/// The replacement, as `cargo xtask capi` installs it.
const REPLACEMENT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../target/c/lib/cachemaint/libpmem.so.1");

/// The size from which the original uses streaming stores (`PMEM_MOVNT_THRESHOLD`, libpmem(7)).
const ORIGINAL_STREAMS: usize = 256;

/// Returns true if the original's copies and fills of `bytes` are durable for every location of the target. Smaller
/// ones are ordinary stores, which it writes back.
#[must_use]
pub const fn is_durable(bytes: usize, streaming_is_durable: bool) -> bool {
    bytes < ORIGINAL_STREAMS || streaming_is_durable
}

/// libpmem, loaded.
#[derive(Debug)]
pub struct Libpmem {
    persist: Persist,
    flush: Flush,
    drain: Drain,
    memcpy_persist: MemcpyPersist,
    memset_persist: MemsetPersist,
    /// Keeps the functions loaded.
    _library: Library,
}

impl Libpmem {
    /// Returns the peer, or `None`, after a line on standard error, if it is not installed.
    ///
    /// # Errors
    /// If standard error is closed.
    pub fn if_installed() -> io::Result<Option<Self>> {
        match Self::load(ORIGINAL) {
            Ok(libpmem) => Ok(Some(libpmem)),
            Err(error) => {
                writeln!(io::stderr(), "skipped: libpmem is not installed ({error})")?;
                Ok(None)
            }
        }
    }

    /// Returns the original and the replacement, or `None`, after a line on standard error, if one of them is not
    /// available.
    ///
    /// The original comes first: the loader finds it by its name, which the replacement shares, and reuses a loaded
    /// library of this name.
    ///
    /// # Errors
    /// If standard error is closed, or both are the same library.
    pub fn with_replacement() -> io::Result<Option<(Self, Self)>> {
        let Some(original) = Self::if_installed()? else { return Ok(None) };
        match Self::load(REPLACEMENT) {
            Ok(ours) if core::ptr::fn_addr_eq(ours.persist, original.persist) => {
                Err(io::Error::other(
                    "the installed libpmem.so.1 is the replacement: leave it out of LD_LIBRARY_PATH",
                ))
            }
            Ok(ours) => Ok(Some((original, ours))),
            Err(error) => {
                writeln!(io::stderr(), "skipped: run `cargo xtask capi` first ({error})")?;
                Ok(None)
            }
        }
    }

    fn load(path: &str) -> Result<Self, libloading::Error> {
        // SAFETY: the library's constructor only asks the CPU, the kernel and the environment.
        let library = unsafe { Library::new(path) }?;
        load! { library:
            persist: Persist = "pmem_persist";
            flush: Flush = "pmem_flush";
            drain: Drain = "pmem_drain";
            memcpy_persist: MemcpyPersist = "pmem_memcpy_persist";
            memset_persist: MemsetPersist = "pmem_memset_persist";
        }
        Ok(Self { persist, flush, drain, memcpy_persist, memset_persist, _library: library })
    }

    /// Persists one word.
    #[inline]
    pub fn persist(&self, word: &AtomicU64) {
        // SAFETY: the word can be read, and the library is loaded as long as this is there.
        unsafe { (self.persist)(word.as_ptr().cast(), size_of::<AtomicU64>()) };
    }

    /// Writes words back, and waits for completion.
    #[inline]
    pub fn flush_and_drain(&self, words: &[AtomicU64]) {
        // SAFETY: the words can be read, and the library is loaded as long as this is there.
        unsafe { (self.flush)(words.as_ptr().cast(), size_of_val(words)) };
        // SAFETY: it takes nothing, and the library is loaded.
        unsafe { (self.drain)() };
    }

    /// Copies to the target and persists it.
    ///
    /// # Panics
    /// If their lengths differ.
    #[inline]
    pub fn memcpy_persist(&self, to: Target<'_>, from: &[u8]) {
        assert_eq!(to.len(), from.len(), "bytes");
        // SAFETY: the target is as long as the source. It consists of words that may be changed through a shared
        // reference, so it cannot be part of the source. The library is loaded as long as this value exists.
        unsafe { (self.memcpy_persist)(to.as_mut_ptr().cast(), from.as_ptr().cast(), from.len()) };
    }

    /// Waits for completion of the write-backs of this thread.
    #[inline]
    pub fn drain(&self) {
        // SAFETY: it takes nothing, and the library is loaded as long as this is there.
        unsafe { (self.drain)() };
    }

    /// Sets all bytes of the target and persists it.
    #[inline]
    pub fn memset_persist(&self, to: Target<'_>, byte: u8) {
        // SAFETY: the target consists of words that may be changed through a shared reference. The library is loaded as
        // long as this value exists.
        unsafe { (self.memset_persist)(to.as_mut_ptr().cast(), byte.into(), to.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::is_durable;

    #[test]
    fn small_copies_are_durable_without_a_promise_of_the_vendor() {
        let durable = [8, 64, 255, 256, 4096].map(|bytes| is_durable(bytes, false));
        assert_eq!(durable, [true, true, true, false, false]);
        assert!(is_durable(256, true));
    }
}
